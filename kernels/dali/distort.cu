// The operator's device side: the noise of kernels/noise.h on pictures of unequal sizes. Built with
// -fmad=false, as kernels/cuda.cu is.
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "samples.h"

namespace fastclip::dali_operator {
namespace {

constexpr int kThreads = 256;

struct Samples {
  Sample at[kSamplesPerLaunch];
};

// One thread makes one Philox block, four elements; blockIdx.y is the picture.
template <Kind kind>
__global__ void noise_kernel(Level level, uint64_t seed, uint32_t draw, Samples samples) {
  const Sample& sample = samples.at[blockIdx.y];
  const int64_t block = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (4 * block >= sample.size) return;
  uint32_t words[4] = {static_cast<uint32_t>(block), counter_word(kind, draw),
                       static_cast<uint32_t>(sample.key), static_cast<uint32_t>(sample.key >> 32)};
  philox(words[0], words[1], words[2], words[3], static_cast<uint32_t>(seed),
         static_cast<uint32_t>(seed >> 32));
  float normals[4];
  if (kind == Kind::gaussian || kind == Kind::speckle) {
    normal_pair(words[0], words[1], normals[0], normals[1]);
    normal_pair(words[2], words[3], normals[2], normals[3]);
  }
  for (int i = 0; i < 4 && 4 * block + i < sample.size; ++i) {
    const uint8_t pixel = sample.in[4 * block + i];
    uint8_t result = pixel;
    if (kind == Kind::gaussian) result = add_gaussian(pixel, normals[i], level.scale);
    if (kind == Kind::speckle) result = add_speckle(pixel, normals[i], level.scale);
    if (kind == Kind::uniform) result = add_uniform(pixel, words[i], level.scale);
    if (kind == Kind::impulse) result = add_impulse(pixel, words[i], level.threshold);
    if (kind == Kind::shot) result = add_shot(pixel, words[i], level.table);
    sample.out[4 * block + i] = result;
  }
}

using Kernel = void (*)(Level, uint64_t, uint32_t, Samples);

Kernel kernel_of(Kind kind) {
  switch (kind) {
    case Kind::gaussian:
      return noise_kernel<Kind::gaussian>;
    case Kind::impulse:
      return noise_kernel<Kind::impulse>;
    case Kind::uniform:
      return noise_kernel<Kind::uniform>;
    case Kind::speckle:
      return noise_kernel<Kind::speckle>;
    case Kind::shot:
      return noise_kernel<Kind::shot>;
  }
  throw std::runtime_error("no such kind of noise on the device");
}

}  // namespace

void noise_on_device(Kind kind, const Level& level, uint64_t seed, uint32_t draw,
                     const Sample* samples, int count, CUstream_st* stream) {
  const Kernel kernel = kernel_of(kind);
  for (int first = 0; first < count; first += kSamplesPerLaunch) {
    Samples some;
    const int taken = std::min(kSamplesPerLaunch, count - first);
    int64_t largest = 0;
    for (int i = 0; i < taken; ++i) {
      some.at[i] = samples[first + i];
      largest = std::max(largest, some.at[i].size);
    }
    if (largest == 0) continue;
    const int64_t blocks = (largest + 4 * kThreads - 1) / (4 * kThreads);
    const dim3 grid(static_cast<unsigned int>(blocks), static_cast<unsigned int>(taken));
    kernel<<<grid, kThreads, 0, stream>>>(level, seed, draw, some);
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess)
      throw std::runtime_error(std::string("noise: ") + cudaGetErrorString(error));
  }
}

}  // namespace fastclip::dali_operator
