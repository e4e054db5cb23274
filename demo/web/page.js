// The page: an image and names go in, coloured segments come out.

import { readImage } from './images.js';
import { Model, checkNames } from './xdet.js';

const part = (id) => document.getElementById(id);
const folder = new URLSearchParams(window.location.search).get('model') ?? './model';
const say = (text) => (part('status').textContent = text);
const COLOURS = [[230, 60, 60], [60, 130, 230], [70, 180, 80], [240, 170, 40], [160, 80, 200], [30, 180, 180]];

let encoded = null;
const model = Model.load(folder, say);

/** Read, encode and show an image; a file that is none leaves the image that is open. */
async function open(blob) {
  if (!blob) throw new Error('give one image file');
  const ready = await model;
  say('looking at the image');
  const image = await readImage(blob).catch((error) => {
    throw new Error(`${blob.name ?? 'the image'}: ${error.message}`);
  });
  encoded = await ready.encode(image);
  return segment();
}

/** Find the names in the image that is open. */
async function segment() {
  const names = part('names').value.split(',').map((name) => name.trim()).filter(Boolean);
  checkNames(names);
  if (encoded === null) throw new Error('choose an image first');
  const started = performance.now();
  say('segmenting');
  const result = await (await model).segment(encoded, names);
  draw(encoded.image, result);
  const spent = ((performance.now() - started) / 1000).toFixed(1);
  say(`${result.segments.length || 'no'} segments in ${spent} s`);
  return result;
}

function draw({ bitmap, width, height }, { ids, segments }) {
  const canvas = part('canvas');
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const shown = context.getImageData(0, 0, width, height);
  ids.forEach((id, place) => {
    if (!id) return;
    const colour = COLOURS[(id - 1) % COLOURS.length];
    const edge = ids[place + 1] !== id || ids[place + width] !== id;
    colour.forEach((value, channel) => {
      const own = shown.data[4 * place + channel];
      shown.data[4 * place + channel] = edge ? value : (own + value) / 2;
    });
  });
  context.putImageData(shown, 0, 0);
  part('segments').replaceChildren(
    ...segments.map(({ id, name, score }) => {
      const row = document.createElement('li');
      row.style.borderColor = `rgb(${COLOURS[(id - 1) % COLOURS.length]})`;
      row.textContent = `${name} ${score.toFixed(2)}`;
      return row;
    }),
  );
}

/** Run one thing after the other, and tell what went wrong. */
let last = Promise.resolve();
function queue(work) {
  last = last.then(work).catch((error) => {
    say(`error: ${error.message}`);
    return null;
  });
  return last;
}

part('file').addEventListener('change', (event) => queue(() => open(event.target.files[0])));
part('form').addEventListener('submit', (event) => {
  event.preventDefault();
  queue(segment);
});
document.body.addEventListener('dragover', (event) => event.preventDefault());
document.body.addEventListener('drop', (event) => {
  event.preventDefault();
  queue(() => open(event.dataTransfer.files[0]));
});
queue(async () => {
  const { vocabulary } = (await model).facts;
  if (vocabulary && !part('names').value) part('names').value = vocabulary.names.join(', ');
  part('file').disabled = false;
  say('choose an image, or drop one here');
});
window.xdet = { open: (blob) => queue(() => open(blob)), segment: () => queue(segment), ready: model };
