// Random numbers that depend on (seed, subject, stream) alone.
//
// Idea: SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
// number generators", OOPSLA) adds a constant to a 64-bit state and returns a
// bijective mix of it. Every (seed, subject, stream) gets a state of its own,
// made by three rounds of that same mix, so a subject's numbers do not depend
// on how many subjects there are, on their order, or on what other streams of
// the subject were used for. R's own generator is never touched.
//
// Streams of one run start at scattered points of one cycle of 2^64: with a
// million subjects, ten streams and a thousand numbers in each, the chance
// that any two of them ever meet is below 1 in 100.

#ifndef VIGITENSOR_COUNTER_RNG_H_
#define VIGITENSOR_COUNTER_RNG_H_

#include <cmath>
#include <cstdint>

namespace vigitensor {

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t state) : state_(state) {}

  SplitMix64(std::uint64_t seed, std::uint64_t subject, std::uint64_t stream)
      : state_(Mix(Mix(Mix(seed + kGamma) + subject * kGamma) +
                   stream * kGamma)) {}

  std::uint64_t Next() {
    state_ += kGamma;
    return Mix(state_);
  }

  // In the open interval (0, 1): 53 bits, shifted by half a step.
  double Uniform() {
    return (static_cast<double>(Next() >> 11) + 0.5) * 0x1.0p-53;
  }

  // A whole number in low, ..., high.
  int WholeNumber(int low, int high) {
    const double width = static_cast<double>(high) - low + 1.0;
    return low + static_cast<int>(Uniform() * width);
  }

  bool Chance(double probability) { return Uniform() < probability; }

  double Exponential() { return -std::log(Uniform()); }

  // Box and Muller, the cosine half only: two numbers used per call, so that
  // the count of numbers drawn never depends on an earlier call.
  double Normal() {
    const double radius = std::sqrt(-2.0 * std::log(Uniform()));
    return radius * std::cos(6.283185307179586477 * Uniform());
  }

  // 1, 2, 3, ... with the given mean >= 1.
  int GeometricFromOne(double mean) {
    const double u = Uniform();
    if (mean <= 1.0) return 1;
    const double extra = std::floor(std::log(u) / std::log1p(-1.0 / mean));
    return extra < 1e9 ? 1 + static_cast<int>(extra) : 1000000000;
  }

  // Gamma with the given shape > 0 and scale 1 (Marsaglia and Tsang 2000, "A
  // simple method for generating gamma variables", ACM TOMS 26): a proposal
  // is a cubed normal, refused now and then. Below shape 1 the power of one
  // more uniform number brings a shape above 1 down.
  double Gamma(double shape) {
    if (shape < 1.0) {
      const double power = std::log(Uniform()) / shape;
      return Gamma(shape + 1.0) * std::exp(power);
    }
    const double d = shape - 1.0 / 3.0;
    const double c = 1.0 / std::sqrt(9.0 * d);
    for (;;) {
      const double x = Normal();
      const double cube_root = 1.0 + c * x;
      if (cube_root <= 0.0) continue;
      const double v = cube_root * cube_root * cube_root;
      const double bound = 0.5 * x * x + d - d * v + d * std::log(v);
      if (std::log(Uniform()) < bound) return d * v;
    }
  }

 private:
  static constexpr std::uint64_t kGamma = 0x9E3779B97F4A7C15ULL;

  static std::uint64_t Mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }

  std::uint64_t state_;
};

}  // namespace vigitensor

#endif  // VIGITENSOR_COUNTER_RNG_H_
