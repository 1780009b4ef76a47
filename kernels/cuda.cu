// CUDA twins of the host loops, from the same headers. Built with -fmad=false: no fused
// multiply-add may make a device differ from a host.
#include <cuda_runtime.h>

#include <stdexcept>

#include "cuda.h"
#include "resize.h"

namespace fastclip::cuda {
namespace {

constexpr int kThreads = 256;

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

unsigned int blocks_for(int64_t items) {
  return static_cast<unsigned int>((items + kThreads - 1) / kThreads);
}

// Device memory that lives as long as the object.
template <class T>
struct Buffer {
  T* data = nullptr;
  explicit Buffer(size_t count) { check(cudaMalloc(&data, count * sizeof(T)), "cudaMalloc"); }
  explicit Buffer(const std::vector<T>& host) : Buffer(host.size()) {
    check(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }
  ~Buffer() { cudaFree(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

// One thread makes one Philox block: four elements of one picture.
template <Kind kind>
__global__ void noise_kernel(Level level, uint64_t seed, uint32_t draw, const uint64_t* keys,
                             int64_t size, const uint8_t* in, uint8_t* out) {
  const int64_t block = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (4 * block >= size) return;
  const uint64_t picture = keys[blockIdx.y];
  uint32_t words[4] = {static_cast<uint32_t>(block), counter_word(kind, draw),
                       static_cast<uint32_t>(picture), static_cast<uint32_t>(picture >> 32)};
  philox(words[0], words[1], words[2], words[3], static_cast<uint32_t>(seed),
         static_cast<uint32_t>(seed >> 32));
  float normals[4];
  if (kind == Kind::gaussian || kind == Kind::speckle) {
    normal_pair(words[0], words[1], normals[0], normals[1]);
    normal_pair(words[2], words[3], normals[2], normals[3]);
  }
  const int64_t offset = blockIdx.y * size + 4 * block;
  for (int i = 0; i < 4 && 4 * block + i < size; ++i) {
    const uint8_t pixel = in[offset + i];
    uint8_t result = pixel;
    if (kind == Kind::gaussian) result = add_gaussian(pixel, normals[i], level.scale);
    if (kind == Kind::speckle) result = add_speckle(pixel, normals[i], level.scale);
    if (kind == Kind::uniform) result = add_uniform(pixel, words[i], level.scale);
    if (kind == Kind::impulse) result = add_impulse(pixel, words[i], level.threshold);
    if (kind == Kind::shot) result = add_shot(pixel, words[i], level.table);
    out[offset + i] = result;
  }
}

// An axis on the device.
struct Taps {
  int count;
  const int32_t *starts, *weights;
};

// in [pictures][rows][width][3] -> out [pictures][rows][columns][3]
__global__ void horizontal_kernel(const uint8_t* in, uint8_t* out, int64_t rows, int width,
                                  int columns, Taps taps) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= rows * columns * 3) return;
  const int channel = static_cast<int>(item % 3);
  const int column = static_cast<int>(item / 3 % columns);
  const int64_t row = item / 3 / columns;
  out[item] = resample(in + (row * width + taps.starts[column]) * 3 + channel, 3,
                       taps.weights + static_cast<int64_t>(column) * taps.count, taps.count);
}

// in [pictures][in_rows][columns][3] -> the covered part of out [pictures][height][width][3]
__global__ void vertical_kernel(const uint8_t* in, uint8_t* out, int64_t pictures, int in_rows,
                                int rows, int columns, int height, int width, int top, int left,
                                Taps taps) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int bytes = columns * 3;
  if (item >= pictures * rows * bytes) return;
  const int byte = static_cast<int>(item % bytes);
  const int row = static_cast<int>(item / bytes % rows);
  const int64_t picture = item / bytes / rows;
  const uint8_t* source = in + (picture * in_rows + taps.starts[row]) * bytes + byte;
  out[((picture * height + top + row) * width + left) * 3 + byte] =
      resample(source, bytes, taps.weights + static_cast<int64_t>(row) * taps.count, taps.count);
}

}  // namespace

int devices(std::string& reason) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return count;
  reason = cudaGetErrorString(error);
  return 0;
}

template <Kind kind>
void launch(const Level& level, uint64_t seed, uint32_t draw, const uint64_t* keys,
            int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out) {
  constexpr int64_t kMost = 65535;  // pictures in one launch: the limit of the grid's y axis
  for (int64_t first = 0; first < pictures; first += kMost) {
    const dim3 grid(blocks_for((size + 3) / 4),
                    static_cast<unsigned int>(std::min(kMost, pictures - first)));
    noise_kernel<kind><<<grid, kThreads>>>(level, seed, draw, keys + first, size, in + first * size,
                                           out + first * size);
  }
}

void noise(Kind kind, const Level& level, uint64_t seed, uint32_t draw, const uint64_t* keys,
           int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out) {
  switch (kind) {
    case Kind::gaussian:
      launch<Kind::gaussian>(level, seed, draw, keys, pictures, size, in, out);
      break;
    case Kind::impulse:
      launch<Kind::impulse>(level, seed, draw, keys, pictures, size, in, out);
      break;
    case Kind::uniform:
      launch<Kind::uniform>(level, seed, draw, keys, pictures, size, in, out);
      break;
    case Kind::speckle:
      launch<Kind::speckle>(level, seed, draw, keys, pictures, size, in, out);
      break;
    case Kind::shot:
      launch<Kind::shot>(level, seed, draw, keys, pictures, size, in, out);
      break;
  }
  check(cudaGetLastError(), "noise");
  check(cudaDeviceSynchronize(), "noise");
}

void resize(const Resize& job, int64_t count, uint8_t* out, int height, int width, Filter filter,
            uint8_t fill) {
  const Span rows = overlap(job.top, height, job.resized_height);
  const Span columns = overlap(job.left, width, job.resized_width);
  check(cudaMemset(out, fill, static_cast<size_t>(count) * height * width * 3), "cudaMemset");
  if (count == 0 || rows.count == 0 || columns.count == 0) return;
  const Axis x = make_axis(job.width, job.resized_width, columns.first, columns.count, filter);
  const Axis y = make_axis(job.height, job.resized_height, rows.first, rows.count, filter);
  const Buffer<int32_t> x_starts(x.starts), x_weights(x.weights);
  const Buffer<int32_t> y_starts(y.starts), y_weights(y.weights);
  const int64_t lines = count * job.height;
  const Buffer<uint8_t> between(static_cast<size_t>(lines) * columns.count * 3);
  horizontal_kernel<<<blocks_for(lines * columns.count * 3), kThreads>>>(
      job.in, between.data, lines, job.width, columns.count,
      Taps{x.taps, x_starts.data, x_weights.data});
  vertical_kernel<<<blocks_for(count * rows.count * columns.count * 3), kThreads>>>(
      between.data, out, count, job.height, rows.count, columns.count, height, width, rows.begin,
      columns.begin, Taps{y.taps, y_starts.data, y_weights.data});
  check(cudaGetLastError(), "resize");
  check(cudaDeviceSynchronize(), "resize");
}

}  // namespace fastclip::cuda
