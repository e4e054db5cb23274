// An exported model in a browser: the image encoder, the decoder, the text tower and panoptic segmentation.

import * as ort from './node_modules/onnxruntime-web/dist/ort.wasm.min.mjs';
import { networkInput, resizingMatrix } from './images.js';
import { Tokenizer } from './tokens.js';

const FORMAT = 2;
const EPS = 1e-7;

/** Names to look for must be there, each once. */
export function checkNames(names) {
  if (!names.length || new Set(names).size < names.length) throw new Error('give one or several names, each once');
}

export class Model {
  /** Loads the folder that `xdet export` wrote; `say` gets what is being done. */
  static async load(folder, say = () => {}) {
    const fetched = async (name) => {
      const answer = await fetch(`${folder}/${name}`);
      if (!answer.ok) throw new Error(`${folder}/${name}: ${answer.status} ${answer.statusText}; "make web" writes it`);
      return answer;
    };
    say('loading the model');
    const facts = await (await fetched('model.json')).json();
    if (facts.format !== FORMAT) throw new Error(`${folder}: is of format ${facts.format}; this page reads ${FORMAT}`);
    const tokens = (await fetched(facts.text.tokens)).body.pipeThrough(new DecompressionStream('gzip'));
    const weights = new Uint8Array(await (await fetched(facts.data.file)).arrayBuffer());
    const graphs = {};
    for (const name of ['image_encoder', 'decoder', 'text_encoder', 'names', 'panoptic']) {
      const bytes = new Uint8Array(await (await fetched(facts.graphs[name].file)).arrayBuffer());
      graphs[name] = await ort.InferenceSession.create(bytes, {
        externalData: [{ path: facts.data.file, data: weights }],
      });
    }
    const table = await new Response(tokens).text();
    return new Model(facts, graphs, new Tokenizer(table, facts.text.context_length));
  }

  constructor(facts, graphs, tokenizer) {
    Object.assign(this, { facts, graphs, tokenizer });
    this.directions = new Map();
  }

  /** Results of a graph by name; of the values it takes those that it needs. */
  async run(graph, values) {
    const names = this.facts.graphs[graph].inputs;
    return this.graphs[graph].run(Object.fromEntries(names.map((name) => [name, values[name]])));
  }

  /** Embedding of a class name: the mean over all templates. */
  async embed(name) {
    if (this.directions.has(name)) return this.directions.get(name);
    const prompts = this.facts.text.templates.map((template) => this.tokenizer.encode(template.replace('{}', () => name)));
    const longest = Math.max(...prompts.map((ids) => ids.length));
    const ids = new BigInt64Array(prompts.length * longest);
    prompts.forEach((prompt, row) => prompt.forEach((id, place) => (ids[row * longest + place] = BigInt(id))));
    const { pooled } = await this.run('text_encoder', { ids: new ort.Tensor('int64', ids, [prompts.length, longest]) });
    const width = pooled.dims[1];
    const mean = new Float32Array(width);
    for (let row = 0; row < prompts.length; row += 1) {
      const own = pooled.data.subarray(row * width, (row + 1) * width);
      const length = Math.hypot(...own) + EPS;
      own.forEach((value, i) => (mean[i] += value / length / prompts.length));
    }
    const length = Math.hypot(...mean);
    this.directions.set(name, mean.map((value) => value / length));
    return this.directions.get(name);
  }

  /** The expensive half: an image of `readImage` to all that later names share. */
  async encode(image) {
    const { sizes, pixels } = this.facts;
    const input = networkInput(image, sizes.panoptic ?? sizes[''], pixels);
    const features = await this.run('image_encoder', { image: new ort.Tensor('float32', input.data, input.dims) });
    const latents = await this.run('decoder', features);
    const [height, width] = features.mask_features.dims.slice(2);
    const matrix = (length, side) => {
      const { data, dims } = resizingMatrix(length, 4 * length, input.seen[side], [image.height, image.width][side]);
      return new ort.Tensor('float32', data, dims);
    };
    return { image, values: { ...features, ...latents, rows: matrix(height, 0), columns: matrix(width, 1) } };
  }

  /** Panoptic segments of an encoded image: `ids` `[H, W]`, 0 where there is none, and what has which id. */
  async segment({ image, values }, names) {
    checkNames(names);
    const text = new Float32Array((await Promise.all(names.map((name) => this.embed(name)))).flatMap((row) => [...row]));
    const { probabilities } = await this.run('names', {
      ...values,
      text: new ort.Tensor('float32', text, [names.length, text.length / names.length]),
    });
    const { least, overlap } = this.facts.segments;
    const { segments, labels, scores } = await this.run('panoptic', {
      ...values,
      probabilities,
      is_thing: new ort.Tensor('bool', new Uint8Array(names.length).fill(1), [names.length]),
      reported: new ort.Tensor('bool', new Uint8Array(names.length).fill(1), [names.length]),
      least: new ort.Tensor('float32', new Float32Array(names.length).fill(least), [names.length]),
      overlap: new ort.Tensor('float64', new Float64Array([overlap]), []),
      mask: new ort.Tensor('float32', new Float32Array([0.5]), []),
    });
    const found = [...labels.data].map((label, i) => ({ id: i + 1, name: names[Number(label)], score: scores.data[i] }));
    return { height: image.height, width: image.width, ids: segments.data, segments: found };
  }
}
