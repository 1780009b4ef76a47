// The inner loops, compiled once per instruction set, with the same results in each.
#pragma once

#include "colour.h"
#include "noise.h"

namespace fastclip {

struct Loops {
  const char* name;
  // Noise on elements [4 * block, 4 * block + count) of one picture; block counts fours.
  void (*noise)(Kind kind, const Level& level, uint64_t seed, uint64_t picture, uint32_t draw,
                uint32_t block, int64_t count, const uint8_t* in, uint8_t* out);
  // One row of `width` RGB pixels becomes `columns`: column i from `taps` pixels at `starts[i]`.
  void (*horizontal)(const uint8_t* in, int width, uint8_t* out, int columns, int taps,
                     const int32_t* starts, const int32_t* weights);
  // One row of `bytes` values from `taps` rows at distance `pitch`; `sums` is room for a row.
  void (*vertical)(const uint8_t* in, int64_t pitch, uint8_t* out, int bytes, int taps,
                   const int32_t* weights, int32_t* sums);
  // Brightness or saturation of `pixels` pixels.
  void (*recolour)(Colour kind, float factor, float shift, int64_t pixels, const uint8_t* in,
                   uint8_t* out);
  // sums[i] = rows[0][i] * weights[0] + rows[1][i] * weights[1] + ...
  void (*blur_columns)(const uint8_t* const* rows, int count, const float* weights, int bytes,
                       float* sums);
  // out[i] = line[i] * weights[0] + line[i + 3] * weights[1] + ..., rounded; `sums` is room.
  void (*blur_row)(const float* line, int count, const float* weights, int bytes, float* sums,
                   uint8_t* out);
};

}  // namespace fastclip
