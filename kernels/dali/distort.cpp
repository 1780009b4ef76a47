// fn.fastclip.distort: fastclip's distortions inside a DALI pipeline, the same bytes as the
// module's.
//
// A thin shim over kernels/. It is compiled on the user's machine against the DALI found there,
// because DALI's operator interface belongs to one version of its wheel.
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "../host.h"
#include "dali/pipeline/operator/checkpointing/stateless_operator.h"
#ifdef FASTCLIP_WITH_CUDA
#include "../cuda.h"
#endif

namespace fastclip::dali_operator {

using dali::CPUBackend;
using dali::GPUBackend;

enum class Kernel { noise, recolour, blur };

template <class T>
T named(const std::map<std::string, T>& names, const std::string& name) {
  const auto found = names.find(name);
  DALI_ENFORCE(found != names.end(), "fastclip has no '" + name + "'");
  return found->second;
}

// What `fastclip._kernels` is called with, by the same names.
struct Arguments {
  Kernel kernel;
  Kind noise = Kind::gaussian;
  Colour colour = Colour::brightness;
  uint64_t seed;
  uint32_t draw;
  Level level;
  float factor, shift;
  std::vector<uint32_t> table;
  std::vector<float> weights;

  explicit Arguments(const dali::OpSpec& spec)
      : kernel(named<Kernel>(
            {{"noise", Kernel::noise}, {"recolour", Kernel::recolour}, {"blur", Kernel::blur}},
            spec.GetArgument<std::string>("kernel"))),
        seed(static_cast<uint64_t>(spec.GetArgument<int64_t>("noise_seed"))),
        draw(static_cast<uint32_t>(spec.GetArgument<int64_t>("draw"))),
        factor(spec.GetArgument<float>("factor")),
        shift(spec.GetArgument<float>("shift")),
        weights(spec.GetRepeatedArgument<float>("weights")) {
    const std::string kind = spec.GetArgument<std::string>("kind");
    if (kernel == Kernel::noise)
      noise = named<Kind>({{"gaussian", Kind::gaussian},
                           {"impulse", Kind::impulse},
                           {"uniform", Kind::uniform},
                           {"speckle", Kind::speckle},
                           {"shot", Kind::shot}},
                          kind);
    if (kernel == Kernel::recolour)
      colour = named<Colour>({{"brightness", Colour::brightness},
                              {"contrast", Colour::contrast},
                              {"saturate", Colour::saturate}},
                             kind);
    for (int64_t entry : spec.GetRepeatedArgument<int64_t>("table"))
      table.push_back(static_cast<uint32_t>(entry));
    level = {spec.GetArgument<float>("scale"),
             static_cast<uint32_t>(spec.GetArgument<int64_t>("threshold")), table.data()};
    DALI_ENFORCE(draw < 1u << 24, "draw has 24 bits");
    DALI_ENFORCE(noise != Kind::shot || table.size() == 256 * kShotThresholds,
                 "shot noise needs its table");
    DALI_ENFORCE(kernel != Kernel::blur || weights.size() % 2 == 1, "blur needs its weights");
  }

  int radius() const { return static_cast<int>(weights.size() / 2); }
};

struct Sample {
  const uint8_t* in;
  uint8_t* out;
  int height, width;
  uint64_t key;

  int64_t pixels() const { return static_cast<int64_t>(height) * width; }
};

void distort_on_host(const Arguments& a, const Sample& s) {
  static const Loops& loops = *supported_loops().front();
  switch (a.kernel) {
    case Kernel::noise:
      return noise(loops, a.noise, a.level, a.seed, a.draw, &s.key, 1, 3 * s.pixels(), s.in, s.out,
                   1);
    case Kernel::recolour:
      return recolour(loops, a.colour, a.factor, a.shift, 1, s.pixels(), s.in, s.out, 1);
    case Kernel::blur:
      return blur(loops, a.weights.data(), a.radius(), 1, s.height, s.width, s.in, s.out, 1);
  }
}

#ifdef FASTCLIP_WITH_CUDA
void distort_on_device(const Arguments& a, const Sample& s, cudaStream_t stream) {
  switch (a.kernel) {
    case Kernel::noise:
      return cuda::noise(a.noise, a.level, a.seed, a.draw, &s.key, 1, 3 * s.pixels(), s.in, s.out,
                         stream);
    case Kernel::recolour:
      return cuda::recolour(a.colour, a.factor, a.shift, 1, s.pixels(), s.in, s.out, stream);
    case Kernel::blur:
      return cuda::blur(a.weights.data(), a.radius(), 1, s.height, s.width, s.in, s.out, stream);
  }
}
#endif

template <class Backend>
class Distort : public dali::StatelessOperator<Backend> {
 public:
  explicit Distort(const dali::OpSpec& spec)
      : dali::StatelessOperator<Backend>(spec), arguments_(spec) {}

 protected:
  bool SetupImpl(std::vector<dali::OutputDesc>& outputs, const dali::Workspace& ws) override {
    const auto& pictures = ws.Input<Backend>(0);
    const auto& keys = ws.Input<CPUBackend>(1);
    DALI_ENFORCE(pictures.type() == DALI_UINT8, "pictures are uint8");
    for (int i = 0; i < pictures.num_samples(); ++i) {
      const auto& shape = pictures.tensor_shape_span(i);
      DALI_ENFORCE(shape.size() == 3 && shape[2] == 3, "pictures are [h, w, 3]");
    }
    DALI_ENFORCE(keys.type() == DALI_UINT64 || keys.type() == DALI_INT64, "keys have 64 bits");
    DALI_ENFORCE(keys.shape().num_elements() == pictures.num_samples(), "one key for each picture");
    outputs = {{pictures.shape(), DALI_UINT8}};
    return true;
  }

  void RunImpl(dali::Workspace& ws) override {
    const auto& in = ws.Input<Backend>(0);
    const auto& keys = ws.Input<CPUBackend>(1);
    auto& out = ws.Output<Backend>(0);
    out.SetLayout(in.GetLayout());
    for (int i = 0; i < in.num_samples(); ++i) {
      const auto shape = in.tensor_shape_span(i);
      const Sample sample{static_cast<const uint8_t*>(in.raw_tensor(i)),
                          static_cast<uint8_t*>(out.raw_mutable_tensor(i)),
                          static_cast<int>(shape[0]), static_cast<int>(shape[1]),
                          *static_cast<const uint64_t*>(keys.raw_tensor(i))};
      if (sample.pixels() > 0) run(sample, ws);
    }
    if constexpr (std::is_same_v<Backend, CPUBackend>) ws.GetThreadPool().RunAll();
  }

 private:
  void run(const Sample& sample, dali::Workspace& ws) {
    if constexpr (std::is_same_v<Backend, CPUBackend>)
      ws.GetThreadPool().AddWork([this, sample](int) { distort_on_host(arguments_, sample); },
                                 sample.pixels());
#ifdef FASTCLIP_WITH_CUDA
    else
      distort_on_device(arguments_, sample, ws.stream());
#endif
  }

  Arguments arguments_;
};

}  // namespace fastclip::dali_operator

namespace dali {

using fastclip::dali_operator::Distort;

DALI_SCHEMA(fastclip__Distort)
    .DocStr("Distorts uint8 pictures [h, w, 3]; the second input is their keys.")
    .NumInput(2)
    .InputDevice(1, InputDevice::CPU)
    .NumOutput(1)
    .AddArg("kernel", "noise, recolour or blur; the rest is what that kernel takes.", DALI_STRING)
    .AddOptionalArg("kind", "Of noise or of recolouring.", std::string())
    .AddOptionalArg("noise_seed", "The 64 bits of the noise seed.", int64_t{0})
    .AddOptionalArg("draw", "Number of the repeat, 24 bits.", int64_t{0})
    .AddOptionalArg("scale", "Level of gaussian, speckle and uniform noise.", 0.0f)
    .AddOptionalArg("threshold", "Level of impulse noise.", int64_t{0})
    .AddOptionalArg("table", "Level of shot noise: 256 rows of 255.", std::vector<int64_t>())
    .AddOptionalArg("factor", "Of contrast and saturation.", 1.0f)
    .AddOptionalArg("shift", "Of brightness and saturation.", 0.0f)
    .AddOptionalArg("weights", "Of blur: an odd number of them.", std::vector<float>());

DALI_REGISTER_OPERATOR(fastclip__Distort, Distort<CPUBackend>, CPU);
#ifdef FASTCLIP_WITH_CUDA
DALI_REGISTER_OPERATOR(fastclip__Distort, Distort<GPUBackend>, GPU);
#endif

}  // namespace dali
