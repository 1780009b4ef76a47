// fn.fastclip.distort: keyed noise inside a DALI pipeline, the same bytes as the module's.
//
// A thin shim over kernels/: it is compiled on the user's machine against the DALI found there,
// because DALI's operator interface belongs to one version of its wheel.
#include <map>
#include <string>
#include <vector>

#include "../host.h"
#include "dali/pipeline/operator/checkpointing/stateless_operator.h"
#include "samples.h"

namespace fastclip::dali_operator {

using dali::CPUBackend;
using dali::GPUBackend;

Kind kind_of(const std::string& name) {
  static const std::map<std::string, Kind> kinds = {{"gaussian", Kind::gaussian},
                                                    {"impulse", Kind::impulse},
                                                    {"uniform", Kind::uniform},
                                                    {"speckle", Kind::speckle},
                                                    {"shot", Kind::shot}};
  const auto found = kinds.find(name);
  DALI_ENFORCE(found != kinds.end(), "unknown kind of noise: " + name);
  return found->second;
}

template <class Backend>
class Distort : public dali::StatelessOperator<Backend> {
 public:
  explicit Distort(const dali::OpSpec& spec)
      : dali::StatelessOperator<Backend>(spec),
        kind_(kind_of(spec.GetArgument<std::string>("kind"))),
        seed_(static_cast<uint64_t>(spec.GetArgument<int64_t>("noise_seed"))),
        draw_(static_cast<uint32_t>(spec.GetArgument<int64_t>("draw"))) {
    level_.scale = spec.GetArgument<float>("scale");
    level_.threshold = static_cast<uint32_t>(spec.GetArgument<int64_t>("threshold"));
    for (int64_t entry : spec.GetRepeatedArgument<int64_t>("table"))
      table_.push_back(static_cast<uint32_t>(entry));
    DALI_ENFORCE(draw_ < 1u << 24, "draw has 24 bits");
    DALI_ENFORCE(kind_ != Kind::shot || table_.size() == 256 * kShotThresholds,
                 "shot noise needs its table");
    level_.table = table_.data();
  }

 protected:
  bool SetupImpl(std::vector<dali::OutputDesc>& outputs, const dali::Workspace& ws) override {
    const auto& pictures = ws.Input<Backend>(0);
    const auto& keys = ws.Input<CPUBackend>(1);
    DALI_ENFORCE(pictures.type() == DALI_UINT8, "pictures are uint8");
    DALI_ENFORCE(keys.type() == DALI_UINT64 || keys.type() == DALI_INT64, "keys have 64 bits");
    DALI_ENFORCE(keys.shape().num_elements() == pictures.num_samples(), "one key for each picture");
    outputs.resize(1);
    outputs[0] = {pictures.shape(), DALI_UINT8};
    return true;
  }

  void RunImpl(dali::Workspace& ws) override {
    const auto& in = ws.Input<Backend>(0);
    const auto& keys = ws.Input<CPUBackend>(1);
    auto& out = ws.Output<Backend>(0);
    out.SetLayout(in.GetLayout());
    std::vector<Sample> samples;
    for (int i = 0; i < in.num_samples(); ++i)
      samples.push_back({static_cast<const uint8_t*>(in.raw_tensor(i)),
                         static_cast<uint8_t*>(out.raw_mutable_tensor(i)),
                         volume(in.tensor_shape(i)),
                         *static_cast<const uint64_t*>(keys.raw_tensor(i))});
    distort(samples, ws);
  }

 private:
  void distort(const std::vector<Sample>& samples, dali::Workspace& ws);

  Kind kind_;
  uint64_t seed_;
  uint32_t draw_;
  Level level_;
  std::vector<uint32_t> table_;
  dali::Tensor<GPUBackend> device_table_;
};

template <>
void Distort<CPUBackend>::distort(const std::vector<Sample>& samples, dali::Workspace& ws) {
  static const Loops& loops = *supported_loops().front();
  auto& pool = ws.GetThreadPool();
  for (const Sample& sample : samples)
    pool.AddWork(
        [this, sample](int) {
          noise(loops, kind_, level_, seed_, draw_, &sample.key, 1, sample.size, sample.in,
                sample.out, 1);
        },
        sample.size);
  pool.RunAll();
}

#ifdef FASTCLIP_WITH_CUDA
template <>
void Distort<GPUBackend>::distort(const std::vector<Sample>& samples, dali::Workspace& ws) {
  if (!table_.empty() && !device_table_.has_data()) {
    device_table_.Copy(table_, ws.stream());
    level_.table = device_table_.data<uint32_t>();
  }
  noise_on_device(kind_, level_, seed_, draw_, samples.data(), static_cast<int>(samples.size()),
                  ws.stream());
}
#endif

}  // namespace fastclip::dali_operator

namespace dali {

using fastclip::dali_operator::Distort;

DALI_SCHEMA(fastclip__Distort)
    .DocStr("Adds keyed noise to uint8 pictures; kernels/noise.h has the definition.")
    .NumInput(2)
    .InputDevice(1, InputDevice::CPU)
    .NumOutput(1)
    .AddArg("kind", "gaussian, speckle, uniform, impulse or shot.", DALI_STRING)
    .AddOptionalArg("noise_seed", "The 64 bits of the noise seed.", int64_t{0})
    .AddOptionalArg("draw", "Number of the repeat, 24 bits.", int64_t{0})
    .AddOptionalArg("scale", "Level of gaussian, speckle and uniform.", 0.0f)
    .AddOptionalArg("threshold", "Level of impulse.", int64_t{0})
    .AddOptionalArg("table", "Level of shot: 256 rows of 255 thresholds.", std::vector<int64_t>());

DALI_REGISTER_OPERATOR(fastclip__Distort, Distort<CPUBackend>, CPU);
#ifdef FASTCLIP_WITH_CUDA
DALI_REGISTER_OPERATOR(fastclip__Distort, Distort<GPUBackend>, GPU);
#endif

}  // namespace dali
