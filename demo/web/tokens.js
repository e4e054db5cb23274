// CLIP's byte-pair tokenizer, as xdet/runtime/tokenizer.py: the same table gives the same tokens.

const MERGES = 49406 - 512; // the other tokens are bytes, inside of words and at their ends
const START = 49406;
const END = 49407;
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu;

export class Tokenizer {
  /** `table`: text of the table of merges, one pair a line after a title. */
  constructor(table, contextLength) {
    this.contextLength = contextLength;
    const pairs = table.split('\n').slice(1, MERGES + 1);
    if (pairs.length !== MERGES || pairs.some((pair) => pair.split(' ').length !== 2)) {
      throw new Error(`tokens.txt.gz is no table of ${MERGES} pairs of tokens`);
    }
    this.ranks = new Map(pairs.map((pair, rank) => [pair, rank]));
    this.letters = lettersOfBytes();
    const singles = [...this.letters].sort(([, a], [, b]) => order(a) - order(b)).map(([letter]) => letter);
    const tokens = [...singles, ...singles.map((letter) => `${letter}</w>`), ...pairs.map((pair) => pair.replace(' ', ''))];
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    this.byByte = new Map([...this.letters].map(([letter, byte]) => [byte, letter]));
    this.known = new Map();
  }

  /** Ids of a text with its start and end, at most `contextLength`. */
  encode(text) {
    const plain = unescaped(unescaped(text)).split(/\s+/).filter(Boolean).join(' ').toLowerCase();
    const ids = [START, ...[...plain.matchAll(WORDS)].flatMap(([word]) => this.word(word)), END];
    return ids.length > this.contextLength ? [...ids.slice(0, this.contextLength - 1), END] : ids;
  }

  /** Of all neighbours the pair that comes first in the table is joined, again and again. */
  word(word) {
    if (this.known.has(word)) return this.known.get(word);
    let parts = [...new TextEncoder().encode(word)].map((byte) => this.byByte.get(byte));
    parts[parts.length - 1] += '</w>';
    while (parts.length > 1) {
      let best = '';
      for (let i = 0; i + 1 < parts.length; i += 1) {
        const pair = `${parts[i]} ${parts[i + 1]}`;
        if (this.ranks.has(pair) && !(this.ranks.get(best) <= this.ranks.get(pair))) best = pair;
      }
      if (!best) break;
      const joined = [];
      for (const part of parts) {
        if (joined.length && `${joined[joined.length - 1]} ${part}` === best) joined[joined.length - 1] += part;
        else joined.push(part);
      }
      parts = joined;
    }
    const ids = parts.map((part) => this.ids.get(part));
    this.known.set(word, ids);
    return ids;
  }
}

/** The byte that each letter stands for; bytes that are no printable letter of Latin-1 have one from U+0100 on. */
function lettersOfBytes() {
  const letters = new Map();
  let next = 0x100;
  for (let byte = 0; byte < 0x100; byte += 1) {
    letters.set(String.fromCharCode(isPrintable(byte) ? byte : next), byte);
    if (!isPrintable(byte)) next += 1;
  }
  return letters;
}

const isPrintable = (byte) => (byte >= 0x21 && byte < 0x7f) || (byte >= 0xa1 && byte < 0xad) || byte >= 0xae;
const order = (byte) => (isPrintable(byte) ? byte : 0x100 + byte); // the table has the printable bytes first

function unescaped(text) {
  const area = document.createElement('textarea');
  area.innerHTML = text.replaceAll('<', '&lt;');
  return area.value;
}
