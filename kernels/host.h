// The kernels as the module calls them: whole batches on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "loops.h"

namespace fastclip {

// What this processor can run, best first.
std::vector<const Loops*> supported_loops();

// Noise on `pictures` pictures of `size` bytes each; one key per picture.
void noise(const Loops& loops, Kind kind, const Level& level, uint64_t seed, uint32_t draw,
           const uint64_t* keys, int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out,
           int threads);

enum class Filter { bilinear, bicubic, box };

// A picture, the size it is resized to, and where the output window lies in that resized picture
// (negative: padding).
struct Resize {
  const uint8_t* in;
  int height, width;
  int resized_height, resized_width;
  int top, left;
};

// out: [count][height][width][3]; `fill` where the window reaches over the resized picture.
void resize(const Loops& loops, const Resize* pictures, int64_t count, uint8_t* out, int height,
            int width, Filter filter, uint8_t fill, int threads);

// Brightness, contrast or saturation of RGB pictures of `pixels` pixels each.
void recolour(const Loops& loops, Colour kind, float factor, float shift, int64_t pictures,
              int64_t pixels, const uint8_t* in, uint8_t* out, int threads);

// Blurs RGB pictures; `weights` has 2 radius + 1 entries.
void blur(const Loops& loops, const float* weights, int radius, int64_t pictures, int height,
          int width, const uint8_t* in, uint8_t* out, int threads);

// The part of a window that lies on the resized picture, along one axis: where it begins in the
// window, its length, and the first output it shows.
struct Span {
  int begin, count, first;
};
Span overlap(int window_start, int window, int resized);

// What the outputs [first, first + count) of an axis resized from `in` to `out` values are made
// of: output i from `taps` inputs beginning at starts[i], with weights[i * taps ...]. Computed in
// double, rounded half away from zero. Outputs that need fewer inputs have weights of zero, so
// that the inner loops have one length.
struct Axis {
  int taps = 0;
  std::vector<int32_t> starts, weights;
};
Axis make_axis(int in, int out, int first, int count, Filter filter);

}  // namespace fastclip
