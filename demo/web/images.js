// Images in the size that the network sees, as Pillow resizes them, and matrices that bring masks back.

const FILTERS = {
  bilinear: [1, (x) => Math.max(1 - x, 0)],
  bicubic: [2, (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0)],
};
const ONE = 2 ** 22; // Pillow's weights are whole numbers of this unit

/** Pixels of an image file: `{height, width, data}` with RGBA bytes, turned as its EXIF says. */
export async function readImage(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return { height: bitmap.height, width: bitmap.width, data, bitmap };
}

/** Normalised, padded input `[1, 3, H, W]` of the network, and the size that it sees without padding. */
export function networkInput(image, rule, pixels) {
  const [width, height] = networkSize(image.height, image.width, rule);
  const seen = resized(image, height, width, rule.interpolation);
  const [rows, columns] = [height, width].map((side) => Math.ceil(side / pixels.divisor) * pixels.divisor);
  const result = new Float32Array(3 * rows * columns);
  for (let channel = 0; channel < 3; channel += 1) {
    const from = pixels.bgr_to_rgb ? channel : 2 - channel;
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const value = seen[4 * (y * width + x) + from];
        result[(channel * rows + y) * columns + x] = Math.fround(value - pixels.mean[channel]) / pixels.std[channel];
      }
    }
  }
  return { data: result, dims: [1, 3, rows, columns], seen: [height, width] };
}

/** As `_size` of xdet/runtime/resizing.py. */
function networkSize(height, width, rule) {
  if (rule.kind === 'exact') return [rule.width, rule.height];
  const short = rule.scale;
  if (rule.kind === 'torchvision') {
    const long = Math.trunc((short * Math.max(height, width)) / Math.min(height, width));
    return width <= height ? [short, long] : [long, short];
  }
  let scale = short / Math.min(height, width);
  let [newHeight, newWidth] = height < width ? [short, scale * width] : [scale * height, short];
  const longest = Math.max(newHeight, newWidth);
  if (rule.max_size && longest > rule.max_size) {
    scale = rule.max_size / longest;
    [newHeight, newWidth] = [newHeight * scale, newWidth * scale];
  }
  return [newWidth, newHeight].map((side) => Math.max(Math.trunc(side + 0.5), 1));
}

/** Pillow's resizing of RGBA bytes: first the rows, rounded to bytes, then the columns. */
function resized(image, height, width, method) {
  if (!(method in FILTERS)) throw new Error(`images are resized by ${method}, which this page does not know`);
  let { data } = image;
  if (width !== image.width) {
    const weights = pillowWeights(image.width, width, method);
    const out = new Uint8ClampedArray(4 * image.height * width);
    for (let y = 0; y < image.height; y += 1) {
      weights.forEach(([first, own], x) => blend(data, 4 * (y * image.width + first), 4, own, out, 4 * (y * width + x)));
    }
    data = out;
  }
  if (height !== image.height) {
    const out = new Uint8ClampedArray(4 * height * width);
    pillowWeights(image.height, height, method).forEach(([first, own], y) => {
      for (let x = 0; x < width; x += 1) blend(data, 4 * (first * width + x), 4 * width, own, out, 4 * (y * width + x));
    });
    data = out;
  }
  return data;
}

function blend(data, from, step, weights, out, to) {
  for (let channel = 0; channel < 3; channel += 1) {
    let sum = ONE / 2;
    for (let i = 0; i < weights.length; i += 1) sum += data[from + i * step + channel] * weights[i];
    out[to + channel] = Math.floor(sum / ONE);
  }
}

/** For every new pixel the first old one, and weights of it and those after it. */
function pillowWeights(length, size, method) {
  const [reach, filter] = FILTERS[method];
  const scale = length / size;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: size }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(center - reach * stretch + 0.5), 0);
    const last = Math.min(Math.trunc(center + reach * stretch + 0.5), length);
    const own = Array.from({ length: last - first }, (__, i) => filter(Math.abs((i + first - center + 0.5) / stretch)));
    const sum = own.reduce((a, b) => a + b, 0);
    return [first, own.map((weight) => Math.trunc((weight / sum) * ONE + (weight < 0 ? -0.5 : 0.5)))];
  });
}

/** As `resizing_matrix` of xdet/runtime/resizing.py: `[size, length]`. */
export function resizingMatrix(length, enlarged, cut, size) {
  let matrix = bicubic(length, enlarged).slice(0, cut);
  if (cut !== size) {
    const again = bicubic(cut, size);
    matrix = again.map((row) => {
      const sum = new Float64Array(length);
      row.forEach((weight, i) => {
        if (weight) matrix[i].forEach((value, j) => (sum[j] += weight * value));
      });
      return sum;
    });
  }
  const flat = new Float32Array(size * length);
  matrix.forEach((row, i) => flat.set(row, i * length));
  return { data: flat, dims: [size, length] };
}

/** torch's anti-aliased bicubic resizing of one axis. */
function bicubic(length, size) {
  const step = length / size;
  const stretch = Math.max(step, 1);
  const filter = FILTERS.bicubic[1];
  return Array.from({ length: size }, (_, place) => {
    const row = new Float64Array(length);
    if (length === size) {
      row[place] = 1;
      return row;
    }
    const center = (place + 0.5) * step;
    const first = Math.max(Math.trunc(center - 2 * stretch + 0.5), 0);
    const last = Math.min(Math.trunc(center + 2 * stretch + 0.5), length);
    let sum = 0;
    for (let i = first; i < last; i += 1) {
      row[i] = filter(Math.abs(i - center + 0.5) / stretch);
      sum += row[i];
    }
    return row.map((value) => value / sum);
  });
}
