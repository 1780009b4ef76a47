// fastclip._kernels: the kernels on numpy arrays and, by DLPack, on CUDA tensors. Shapes are
// checked here, meaning in Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "host.h"
#ifdef FASTCLIP_WITH_CUDA
#include "cuda.h"
#endif

namespace nb = nanobind;
using namespace nb::literals;

namespace fastclip {
namespace {

using Pictures = nb::ndarray<const uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Picture = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;
using Keys = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Table =
    nb::ndarray<const uint32_t, nb::shape<256, kShotThresholds>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Windows = nb::ndarray<const int32_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;

Kind kind_of(const std::string& name) {
  static const std::map<std::string, Kind> kinds = {{"gaussian", Kind::gaussian},
                                                    {"impulse", Kind::impulse},
                                                    {"uniform", Kind::uniform},
                                                    {"speckle", Kind::speckle},
                                                    {"shot", Kind::shot}};
  const auto found = kinds.find(name);
  if (found == kinds.end()) throw std::invalid_argument("unknown kind of noise: " + name);
  return found->second;
}

Filter filter_of(const std::string& name) {
  if (name == "bicubic") return Filter::bicubic;
  if (name == "bilinear") return Filter::bilinear;
  if (name == "box") return Filter::box;
  throw std::invalid_argument("unknown interpolation: " + name);
}

Colour colour_of(const std::string& name) {
  if (name == "brightness") return Colour::brightness;
  if (name == "contrast") return Colour::contrast;
  if (name == "saturate") return Colour::saturate;
  throw std::invalid_argument("unknown change of colour: " + name);
}

const Loops& loops_of(const std::string& isa) {
  for (const Loops* candidate : supported_loops())
    if (isa.empty() || isa == candidate->name) return *candidate;
  throw std::invalid_argument("this processor does not run " + isa);
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

std::vector<uint32_t> philox4x32(const std::vector<uint32_t>& counter,
                                 const std::vector<uint32_t>& key) {
  require(counter.size() == 4 && key.size() == 2, "philox4x32 takes 4 counter and 2 key words");
  std::vector<uint32_t> words = counter;
  philox(words[0], words[1], words[2], words[3], key[0], key[1]);
  return words;
}

// Checked arguments of `noise`, the same on every device.
template <class In, class Out>
void check_noise(Kind kind, const In& in, const Out& out, const Keys& keys, uint32_t draw,
                 const std::optional<Table>& table) {
  require(in.size() == out.size() && in.shape(0) == out.shape(0), "in and out differ in shape");
  require(keys.shape(0) == in.shape(0), "one key for each picture");
  require(draw < 1u << 24, "draw has 24 bits");
  require(kind != Kind::shot || table.has_value(), "shot noise needs its table");
}

// As many RGB pictures of the same size.
template <class In, class Out>
void check_alike(const In& in, const Out& out) {
  for (size_t axis = 0; axis < 4; ++axis)
    require(in.shape(axis) == out.shape(axis), "in and out differ in shape");
  require(in.shape(3) == 3, "pictures must be [N, H, W, 3]");
}

int radius_of(const Weights& weights) {
  require(weights.size() % 2 == 1, "a blur needs an odd number of weights");
  return static_cast<int>(weights.size() / 2);
}

template <class Array>
int side(const Array& array, size_t axis) {
  return static_cast<int>(array.shape(axis));
}

void noise_batch(const std::string& kind, Pictures in, Output out, Keys keys, uint64_t seed,
                 uint32_t draw, float scale, uint32_t threshold, std::optional<Table> table,
                 int threads, const std::string& isa) {
  const Kind which = kind_of(kind);
  check_noise(which, in, out, keys, draw, table);
  const Level level{scale, threshold, table ? table->data() : nullptr};
  const Loops& loops = loops_of(isa);
  const int64_t count = static_cast<int64_t>(in.shape(0));
  const int64_t size = count == 0 ? 0 : static_cast<int64_t>(in.size()) / count;
  nb::gil_scoped_release free;
  noise(loops, which, level, seed, draw, keys.data(), count, size, in.data(), out.data(), threads);
}

void recolour_batch(const std::string& kind, Pictures in, Output out, float factor, float shift,
                    int threads, const std::string& isa) {
  check_alike(in, out);
  const Colour which = colour_of(kind);
  const Loops& loops = loops_of(isa);
  const int64_t count = side(in, 0), pixels = int64_t{side(in, 1)} * side(in, 2);
  nb::gil_scoped_release free;
  recolour(loops, which, factor, shift, count, pixels, in.data(), out.data(), threads);
}

void blur_batch(Pictures in, Output out, Weights weights, int threads, const std::string& isa) {
  check_alike(in, out);
  const int radius = radius_of(weights);
  const Loops& loops = loops_of(isa);
  nb::gil_scoped_release free;
  blur(loops, weights.data(), radius, side(in, 0), side(in, 1), side(in, 2), in.data(), out.data(),
       threads);
}

void resize_batch(const std::vector<Picture>& pictures, Windows windows, Output out,
                  const std::string& interpolation, uint8_t fill, int threads,
                  const std::string& isa) {
  require(windows.shape(0) == pictures.size() && out.shape(0) == pictures.size(),
          "one window and one output for each picture");
  require(out.shape(3) == 3, "out must be [N, H, W, 3]");
  const Filter filter = filter_of(interpolation);
  const Loops& loops = loops_of(isa);
  std::vector<Resize> jobs;
  for (size_t i = 0; i < pictures.size(); ++i) {
    const Picture& picture = pictures[i];
    const int32_t* window = windows.data() + 4 * i;
    require(picture.shape(0) > 0 && picture.shape(1) > 0 && window[0] > 0 && window[1] > 0,
            "an empty picture cannot be resized");
    jobs.push_back({picture.data(), static_cast<int>(picture.shape(0)),
                    static_cast<int>(picture.shape(1)), window[0], window[1], window[2],
                    window[3]});
  }
  nb::gil_scoped_release free;
  resize(loops, jobs.data(), static_cast<int64_t>(jobs.size()), out.data(),
         static_cast<int>(out.shape(1)), static_cast<int>(out.shape(2)), filter, fill, threads);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Loops* candidate : supported_loops()) names.emplace_back(candidate->name);
  return names;
}

std::tuple<int, std::string> cuda_devices() {
#ifdef FASTCLIP_WITH_CUDA
  std::string reason;
  const int count = cuda::devices(reason);
  return {count, reason};
#else
  return {0, "built without CUDA"};
#endif
}

#ifdef FASTCLIP_WITH_CUDA
using DevicePictures = nb::ndarray<const uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cuda>;
using DeviceOutput = nb::ndarray<uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cuda>;
void* stream_of(uintptr_t stream) { return reinterpret_cast<void*>(stream); }

void noise_cuda(const std::string& kind, DevicePictures in, DeviceOutput out, Keys keys,
                uint64_t seed, uint32_t draw, float scale, uint32_t threshold,
                std::optional<Table> table, uintptr_t stream) {
  const Kind which = kind_of(kind);
  check_noise(which, in, out, keys, draw, table);
  if (in.size() == 0) return;
  const int64_t count = side(in, 0);
  cuda::noise(which, {scale, threshold, table ? table->data() : nullptr}, seed, draw, keys.data(),
              count, static_cast<int64_t>(in.size()) / count, in.data(), out.data(),
              stream_of(stream));
}

void resize_cuda(DevicePictures in, DeviceOutput out, int resized_height, int resized_width,
                 int top, int left, const std::string& interpolation, uint8_t fill,
                 uintptr_t stream) {
  require(in.shape(3) == 3 && out.shape(3) == 3 && in.shape(0) == out.shape(0),
          "in and out must be [N, H, W, 3] with the same N");
  require(in.shape(1) > 0 && in.shape(2) > 0 && resized_height > 0 && resized_width > 0,
          "an empty picture cannot be resized");
  cuda::resize({in.data(), side(in, 1), side(in, 2), resized_height, resized_width, top, left},
               side(in, 0), out.data(), side(out, 1), side(out, 2), filter_of(interpolation), fill,
               stream_of(stream));
}

void recolour_cuda(const std::string& kind, DevicePictures in, DeviceOutput out, float factor,
                   float shift, uintptr_t stream) {
  check_alike(in, out);
  if (in.size() == 0) return;
  cuda::recolour(colour_of(kind), factor, shift, side(in, 0), int64_t{side(in, 1)} * side(in, 2),
                 in.data(), out.data(), stream_of(stream));
}

void blur_cuda(DevicePictures in, DeviceOutput out, Weights weights, uintptr_t stream) {
  check_alike(in, out);
  const int radius = radius_of(weights);
  if (in.size() == 0) return;
  cuda::blur(weights.data(), radius, side(in, 0), side(in, 1), side(in, 2), in.data(), out.data(),
             stream_of(stream));
}
#endif

}  // namespace
}  // namespace fastclip

NB_MODULE(_kernels, m) {
  using namespace fastclip;
  m.doc() = "Native kernels of fastclip; fastclip.kernels is their caller.";
  m.def("philox4x32", &philox4x32, "counter"_a, "key"_a,
        "Four words of Philox4x32-10 for a counter of four words and a key of two.");
  m.def("noise", &noise_batch, "kind"_a, "pictures"_a.noconvert(), "out"_a.noconvert(), "keys"_a,
        "seed"_a, "draw"_a, "scale"_a = 0.0f, "threshold"_a = 0u, "table"_a = nb::none(),
        "threads"_a = 0, "isa"_a = "",
        "Noise on uint8 [N, H, W, 3]; kernels/noise.h has the definition.");
  m.def("resize", &resize_batch, "pictures"_a, "windows"_a, "out"_a.noconvert(), "interpolation"_a,
        "fill"_a = 0, "threads"_a = 0, "isa"_a = "",
        "Resize uint8 [h, w, 3] pictures into out [N, H, W, 3]; windows [N, 4] hold resized "
        "height, resized width, and the output window's top and left in the resized picture.");
  m.def("recolour", &recolour_batch, "kind"_a, "pictures"_a.noconvert(), "out"_a.noconvert(),
        "factor"_a = 1.0f, "shift"_a = 0.0f, "threads"_a = 0, "isa"_a = "",
        "brightness, contrast or saturate on uint8 [N, H, W, 3]; kernels/colour.h defines them.");
  m.def("blur", &blur_batch, "pictures"_a.noconvert(), "out"_a.noconvert(), "weights"_a,
        "threads"_a = 0, "isa"_a = "",
        "Blur uint8 [N, H, W, 3] with 2 radius + 1 weights along both axes.");
  m.def("instruction_sets", &instruction_sets,
        "Names of the loops this processor can run, the one in use first.");
  m.def("cuda_devices", &cuda_devices, "Number of CUDA devices, and why none.");
#ifdef FASTCLIP_WITH_CUDA
  m.attr("built_with_cuda") = true;
  m.def("noise_cuda", &noise_cuda, "kind"_a, "pictures"_a.noconvert(), "out"_a.noconvert(),
        "keys"_a, "seed"_a, "draw"_a, "scale"_a = 0.0f, "threshold"_a = 0u, "table"_a = nb::none(),
        "stream"_a = 0,
        "As noise, for pictures on the current CUDA device; queued on `stream`, not waited for.");
  m.def("resize_cuda", &resize_cuda, "pictures"_a.noconvert(), "out"_a.noconvert(),
        "resized_height"_a, "resized_width"_a, "top"_a, "left"_a, "interpolation"_a, "fill"_a = 0,
        "stream"_a = 0, "As resize, for pictures of one size on the current CUDA device.");
  m.def("recolour_cuda", &recolour_cuda, "kind"_a, "pictures"_a.noconvert(), "out"_a.noconvert(),
        "factor"_a = 1.0f, "shift"_a = 0.0f, "stream"_a = 0, "As recolour, on a CUDA device.");
  m.def("blur_cuda", &blur_cuda, "pictures"_a.noconvert(), "out"_a.noconvert(), "weights"_a,
        "stream"_a = 0, "As blur, on a CUDA device.");
#else
  m.attr("built_with_cuda") = false;
#endif
}
