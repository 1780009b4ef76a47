// The kernels on a CUDA device; present only in a build with nvcc.
//
// Pictures are memory of the current device; keys, weights and tables are host memory and may be
// freed when a call returns. Everything is queued on `stream` (a cudaStream_t) and nothing is
// waited for: what the device finds wrong later shows in the caller's next synchronisation. Throws
// std::runtime_error with CUDA's words.
#pragma once

#include <string>

#include "host.h"

namespace fastclip::cuda {

// Number of devices, and why none where there is none ("no CUDA-capable device is detected").
int devices(std::string& reason);

// As fastclip::noise.
void noise(Kind kind, const Level& level, uint64_t seed, uint32_t draw, const uint64_t* keys,
           int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out, void* stream);

// Resizes pictures of one common size, [count][job.height][job.width][3] at `job.in`, into out
// [count][height][width][3].
void resize(const Resize& job, int64_t count, uint8_t* out, int height, int width, Filter filter,
            uint8_t fill, void* stream);

// As fastclip::recolour.
void recolour(Colour kind, float factor, float shift, int64_t pictures, int64_t pixels,
              const uint8_t* in, uint8_t* out, void* stream);

// As fastclip::blur.
void blur(const float* weights, int radius, int64_t pictures, int height, int width,
          const uint8_t* in, uint8_t* out, void* stream);

}  // namespace fastclip::cuda
