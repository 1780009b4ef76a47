// Brightness, contrast and saturation of 8-bit RGB pixels, in units of 1/255.
//
// Brightness and saturation are those of HSV: value v = max, saturation (max - min) / max. Hue is
// never computed: at constant hue every channel is v - chroma * part, where its part
// (v - channel) / (max - min) depends on the hue alone. IEEE arithmetic only, rounded half to even.
#pragma once

#include "noise.h"

namespace fastclip {

// Alphabetical, as the Python names are.
enum class Colour { brightness, contrast, saturate };

FASTCLIP_HD float clipped(float value, float largest) {
  value = value > 0.0f ? value : 0.0f;
  return value < largest ? value : largest;
}

FASTCLIP_HD uint8_t least(const uint8_t* pixel) {
  const uint8_t two = pixel[0] < pixel[1] ? pixel[0] : pixel[1];
  return two < pixel[2] ? two : pixel[2];
}

FASTCLIP_HD uint8_t greatest(const uint8_t* pixel) {
  const uint8_t two = pixel[0] > pixel[1] ? pixel[0] : pixel[1];
  return two > pixel[2] ? two : pixel[2];
}

// v + shift at the same hue and saturation: every channel is scaled alike; black becomes grey.
FASTCLIP_HD void brighten(const uint8_t* in, uint8_t* out, float shift) {
  const float value = static_cast<float>(greatest(in));
  const float wanted = clipped(value + shift, 255.0f);
  const bool black = value == 0.0f;
  const float divisor = black ? 1.0f : value;
  for (int c = 0; c < 3; ++c) {
    const float channel = black ? 1.0f : static_cast<float>(in[c]);
    out[c] = quantise(channel * wanted / divisor);
  }
}

// saturation * factor + shift at the same hue and value. Grey has hue 0, as in skimage: it is red.
FASTCLIP_HD void saturate(const uint8_t* in, uint8_t* out, float factor, float shift) {
  const float value = static_cast<float>(greatest(in));
  const float before = value - static_cast<float>(least(in));
  const float after = clipped(before * factor + value * shift, value);
  const bool grey = before == 0.0f;
  const float divisor = grey ? 1.0f : before;
  for (int c = 0; c < 3; ++c) {
    const float part = grey ? (c == 0 ? 0.0f : 1.0f) : value - static_cast<float>(in[c]);
    out[c] = quantise(value - after * part / divisor);
  }
}

// Mean of `count` values with this sum.
FASTCLIP_HD float mean_of(uint64_t sum, int64_t count) {
  return static_cast<float>(static_cast<double>(sum) / static_cast<double>(count));
}

FASTCLIP_HD uint8_t contrasted(uint8_t channel, float mean, float factor) {
  return quantise((static_cast<float>(channel) - mean) * factor + mean);
}

}  // namespace fastclip
