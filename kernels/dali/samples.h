// What the operator hands to the device: pictures of any sizes, each with its key.
#pragma once

#include "../noise.h"

struct CUstream_st;

namespace fastclip::dali_operator {

struct Sample {
  const uint8_t* in;
  uint8_t* out;
  int64_t size;
  uint64_t key;
};

constexpr int kSamplesPerLaunch = 64;  // their descriptions travel as the kernel's argument

// Noise on `count` pictures in device memory, enqueued on `stream`; `level.table` too is there.
// Throws std::runtime_error with CUDA's words where it cannot be enqueued.
void noise_on_device(Kind kind, const Level& level, uint64_t seed, uint32_t draw,
                     const Sample* samples, int count, CUstream_st* stream);

}  // namespace fastclip::dali_operator
