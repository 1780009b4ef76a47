// CUDA twins of the host loops, from the same headers. Built with -fmad=false: no fused
// multiply-add may make a device differ from a host. No kernel's threads talk to each other but by
// integer atomics, so neither grid nor order of execution shows in the bytes.
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "blur.h"
#include "colour.h"
#include "cuda.h"
#include "resize.h"

namespace fastclip::cuda {
namespace {

constexpr unsigned int kThreads = 256;
#ifndef FASTCLIP_WORKSPACE  // bytes between two passes
#define FASTCLIP_WORKSPACE (int64_t{256} << 20)
#endif

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

unsigned int blocks_for(int64_t items) {
  return static_cast<unsigned int>((items + kThreads - 1) / kThreads);
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, cudaStream_t stream,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), name);
}

// Device memory in the order of a stream: freed when the work queued before has used it.
template <class T>
class Buffer {
 public:
  Buffer(int64_t count, cudaStream_t stream) : stream_(stream) {
    check(cudaMallocAsync(reinterpret_cast<void**>(&data), static_cast<size_t>(count) * sizeof(T),
                          stream),
          "cudaMallocAsync");
  }
  // A copy of host memory that may be gone when the stream gets there (CUDA need not have staged
  // pageable memory when the call returns): the stream has its own, and frees it.
  Buffer(const T* host, int64_t count, cudaStream_t stream) : Buffer(count, stream) {
    auto* const own = new std::vector<T>(host, host + count);
    check(
        cudaMemcpyAsync(data, own->data(), own->size() * sizeof(T), cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync");
    check(cudaLaunchHostFunc(
              stream, [](void* done) { delete static_cast<std::vector<T>*>(done); }, own),
          "cudaLaunchHostFunc");
  }
  ~Buffer() { cudaFreeAsync(data, stream_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data = nullptr;

 private:
  cudaStream_t stream_;
};

// Pictures that go through the workspace at a time.
int64_t in_workspace(int64_t pictures, int64_t bytes_each) {
  return std::min(pictures, std::max<int64_t>(1, FASTCLIP_WORKSPACE / bytes_each));
}

__device__ int64_t global_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// One thread makes one Philox block: four elements of one picture.
template <Kind kind>
__global__ void noise_kernel(Level level, uint64_t seed, uint32_t draw, const uint64_t* keys,
                             int64_t size, const uint8_t* in, uint8_t* out) {
  const int64_t block = global_index();
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

// in [rows][width][3] -> out [rows][columns][3], the rows of all pictures in one
__global__ void horizontal_kernel(const uint8_t* in, uint8_t* out, int64_t rows, int width,
                                  int columns, Taps taps) {
  const int64_t item = global_index();
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
  const int64_t item = global_index();
  const int bytes = columns * 3;
  if (item >= pictures * rows * bytes) return;
  const int byte = static_cast<int>(item % bytes);
  const int row = static_cast<int>(item / bytes % rows);
  const int64_t picture = item / bytes / rows;
  const uint8_t* source = in + (picture * in_rows + taps.starts[row]) * bytes + byte;
  out[((picture * height + top + row) * width + left) * 3 + byte] =
      resample(source, bytes, taps.weights + static_cast<int64_t>(row) * taps.count, taps.count);
}

// One thread to a pixel.
template <Colour kind>
__global__ void recolour_kernel(float factor, float shift, int64_t pixels, const uint8_t* in,
                                uint8_t* out) {
  const int64_t item = global_index();
  if (item >= pixels) return;
  if (kind == Colour::brightness) brighten(in + 3 * item, out + 3 * item, shift);
  if (kind == Colour::saturate) saturate(in + 3 * item, out + 3 * item, factor, shift);
}

// sums [pictures][3], zero before: of each channel. One block to a picture.
__global__ void sums_kernel(int64_t pixels, const uint8_t* in, unsigned long long* sums) {
  const int64_t picture = blockIdx.x;
  unsigned long long own[3] = {0, 0, 0};
  for (int64_t i = threadIdx.x; i < pixels; i += blockDim.x)
    for (int c = 0; c < 3; ++c) own[c] += in[(picture * pixels + i) * 3 + c];
  for (int c = 0; c < 3; ++c) atomicAdd(sums + 3 * picture + c, own[c]);
}

// One block to a picture.
__global__ void contrast_kernel(float factor, int64_t pixels, const unsigned long long* sums,
                                const uint8_t* in, uint8_t* out) {
  const int64_t picture = blockIdx.x;
  float means[3];
  for (int c = 0; c < 3; ++c) means[c] = mean_of(sums[3 * picture + c], pixels);
  for (int64_t i = threadIdx.x; i < pixels; i += blockDim.x)
    for (int c = 0; c < 3; ++c) {
      const int64_t at = (picture * pixels + i) * 3 + c;
      out[at] = contrasted(in[at], means[c], factor);
    }
}

// in [pictures][height][bytes] -> out, of the same shape, unrounded
__global__ void blur_columns_kernel(const uint8_t* in, float* out, int64_t items, int height,
                                    int bytes, const float* weights, int radius) {
  const int64_t item = global_index();
  if (item >= items) return;
  const int byte = static_cast<int>(item % bytes);
  const int row = static_cast<int>(item / bytes % height);
  const int64_t picture = item / bytes / height;
  out[item] = blurred(in + picture * height * bytes + byte, bytes, height, row, weights, radius);
}

// in [rows][width][3] -> out, of the same shape
__global__ void blur_rows_kernel(const float* in, uint8_t* out, int64_t items, int width,
                                 const float* weights, int radius) {
  const int64_t item = global_index();
  if (item >= items) return;
  const int channel = static_cast<int>(item % 3);
  const int column = static_cast<int>(item / 3 % width);
  const int64_t row = item / 3 / width;
  out[item] = quantise(blurred(in + row * width * 3 + channel, 3, width, column, weights, radius));
}

template <Kind kind>
void launch_noise(const Level& level, uint64_t seed, uint32_t draw, const uint64_t* keys,
                  int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out,
                  cudaStream_t stream) {
  constexpr int64_t kMost = 65535;  // pictures in one launch: the limit of the grid's y axis
  for (int64_t first = 0; first < pictures; first += kMost) {
    const dim3 grid(blocks_for((size + 3) / 4),
                    static_cast<unsigned int>(std::min(kMost, pictures - first)));
    launch("noise", noise_kernel<kind>, grid, stream, level, seed, draw, keys + first, size,
           in + first * size, out + first * size);
  }
}

}  // namespace

int devices(std::string& reason) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return count;
  reason = cudaGetErrorString(error);
  return 0;
}

void noise(Kind kind, const Level& level, uint64_t seed, uint32_t draw, const uint64_t* keys,
           int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out, void* queue) {
  const auto stream = static_cast<cudaStream_t>(queue);
  const Buffer<uint64_t> placed(keys, pictures, stream);
  const auto run = [&](auto launch_kind, const Level& there) {
    launch_kind(there, seed, draw, placed.data, pictures, size, in, out, stream);
  };
  switch (kind) {
    case Kind::gaussian:
      return run(launch_noise<Kind::gaussian>, level);
    case Kind::impulse:
      return run(launch_noise<Kind::impulse>, level);
    case Kind::uniform:
      return run(launch_noise<Kind::uniform>, level);
    case Kind::speckle:
      return run(launch_noise<Kind::speckle>, level);
    case Kind::shot:
      const Buffer<uint32_t> table(level.table, 256 * kShotThresholds, stream);
      return run(launch_noise<Kind::shot>, {level.scale, level.threshold, table.data});
  }
}

void resize(const Resize& job, int64_t count, uint8_t* out, int height, int width, Filter filter,
            uint8_t fill, void* queue) {
  const auto stream = static_cast<cudaStream_t>(queue);
  const Span rows = overlap(job.top, height, job.resized_height);
  const Span columns = overlap(job.left, width, job.resized_width);
  const int64_t size = static_cast<int64_t>(height) * width * 3;
  if (rows.count < height || columns.count < width)
    check(cudaMemsetAsync(out, fill, static_cast<size_t>(count * size), stream), "cudaMemsetAsync");
  if (count == 0 || rows.count == 0 || columns.count == 0) return;

  const Axis x = make_axis(job.width, job.resized_width, columns.first, columns.count, filter);
  const Axis y = make_axis(job.height, job.resized_height, rows.first, rows.count, filter);
  std::vector<int32_t> both;  // crosses in one copy
  for (const auto* part : {&x.starts, &x.weights, &y.starts, &y.weights})
    both.insert(both.end(), part->begin(), part->end());
  const Buffer<int32_t> placed(both.data(), static_cast<int64_t>(both.size()), stream);
  const int32_t* const x_weights = placed.data + x.starts.size();
  const int32_t* const y_starts = x_weights + x.weights.size();
  const Taps across{x.taps, placed.data, x_weights};
  const Taps down{y.taps, y_starts, y_starts + y.starts.size()};

  const int64_t between_size = static_cast<int64_t>(job.height) * columns.count * 3;
  const int64_t most = in_workspace(count, between_size);
  const Buffer<uint8_t> between(most * between_size, stream);
  for (int64_t first = 0; first < count; first += most) {
    const int64_t now = std::min(most, count - first), lines = now * job.height;
    launch("resize", horizontal_kernel, blocks_for(now * between_size), stream,
           job.in + first * job.height * job.width * 3, between.data, lines, job.width,
           columns.count, across);
    launch("resize", vertical_kernel, blocks_for(now * rows.count * columns.count * 3), stream,
           between.data, out + first * size, now, job.height, rows.count, columns.count, height,
           width, rows.begin, columns.begin, down);
  }
}

void recolour(Colour kind, float factor, float shift, int64_t pictures, int64_t pixels,
              const uint8_t* in, uint8_t* out, void* queue) {
  const auto stream = static_cast<cudaStream_t>(queue);
  const int64_t all = pictures * pixels;
  if (kind == Colour::brightness)
    return launch("brightness", recolour_kernel<Colour::brightness>, blocks_for(all), stream,
                  factor, shift, all, in, out);
  if (kind == Colour::saturate)
    return launch("saturate", recolour_kernel<Colour::saturate>, blocks_for(all), stream, factor,
                  shift, all, in, out);
  const Buffer<unsigned long long> sums(3 * pictures, stream);
  check(
      cudaMemsetAsync(sums.data, 0, static_cast<size_t>(3 * pictures) * sizeof *sums.data, stream),
      "cudaMemsetAsync");
  const dim3 grid(static_cast<unsigned int>(pictures));
  launch("contrast", sums_kernel, grid, stream, pixels, in, sums.data);
  launch("contrast", contrast_kernel, grid, stream, factor, pixels, sums.data, in, out);
}

void blur(const float* weights, int radius, int64_t pictures, int height, int width,
          const uint8_t* in, uint8_t* out, void* queue) {
  const auto stream = static_cast<cudaStream_t>(queue);
  const Buffer<float> placed(weights, 2 * radius + 1, stream);
  const int bytes = width * 3;
  const int64_t size = static_cast<int64_t>(height) * bytes;
  const int64_t most = in_workspace(pictures, size * static_cast<int64_t>(sizeof(float)));
  const Buffer<float> between(most * size, stream);
  for (int64_t first = 0; first < pictures; first += most) {
    const int64_t items = std::min(most, pictures - first) * size;
    launch("gaussian_blur", blur_columns_kernel, blocks_for(items), stream, in + first * size,
           between.data, items, height, bytes, placed.data, radius);
    launch("gaussian_blur", blur_rows_kernel, blocks_for(items), stream, between.data,
           out + first * size, items, width, placed.data, radius);
  }
}

}  // namespace fastclip::cuda
