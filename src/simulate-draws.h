// What one subject of a simulated cohort is drawn from: the settings of a run,
// severity of disease, spells of treatment. The events are in simulate.cpp.

#ifndef VIGITENSOR_SIMULATE_DRAWS_H_
#define VIGITENSOR_SIMULATE_DRAWS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "counter-rng.h"

namespace vigitensor {

// What each stream of a subject is used for. Drugs come last, so that one more
// drug changes nothing else; an option that is off draws nothing from its own.
enum Stream : std::uint64_t {
  kCovariates = 0,
  kEntry = 1,
  kDropout = 2,
  kEvent = 3,
  kStratum = 4,
  kFrailty = 5,
  kSeverity = 6,
  kFirstDrug = 16
};

struct Spells {
  bool claims;  // packs and refills; otherwise spells of whole weeks
  int first_low, first_high;
  int supply;
  double mean_packs;
  int refill_low, refill_high;
  double mean_gap;
  std::vector<double> doses;
};

// A disease that is severe at times: then treatment starts sooner and events
// are more frequent.
struct Confounding {
  bool on;
  double mean_calm, mean_severe;  // days
  double speed;                   // of the clock that waits for treatment
  double log_hazard_ratio;
};

struct Settings {
  std::uint64_t seed;
  int days;
  Spells spells;
  Confounding confounding;
  std::vector<double> users;             // one share per drug
  std::vector<std::vector<double>> cum;  // per drug: log_hr C(u), u = 0..m
  // Per stratum: H0(t), t = 0..days.
  std::vector<std::vector<double>> cum_hazard;
  double beta_sex, beta_age;
  double late_entry, dropout;
  bool recurrent;
  double frailty;  // variance
};

struct Record {
  int start, stop;
  double dose;
};

// Severity by day, from the first day that matters to the end of the study.
class Severity {
 public:
  Severity(const Settings& how, std::uint64_t subject)
      : days_(how.days), speed_(how.confounding.speed) {
    const Confounding& confounding = how.confounding;
    if (!confounding.on) return;
    origin_ = std::min(how.spells.first_low, 0);
    SplitMix64 rng(how.seed, subject, kSeverity);
    // Geometric lengths have no memory, so a start in the long-run share of
    // the states is a start of a process that has been going on for ever.
    bool severe = rng.Chance(confounding.mean_severe /
                             (confounding.mean_severe + confounding.mean_calm));
    severe_.reserve(days_ - origin_);
    const int length = days_ - origin_;
    while (static_cast<int>(severe_.size()) < length) {
      const int wanted = rng.GeometricFromOne(severe ? confounding.mean_severe
                                                     : confounding.mean_calm);
      const int room = length - static_cast<int>(severe_.size());
      severe_.insert(severe_.end(), std::min(wanted, room), severe);
      severe = !severe;
    }
  }

  bool varies() const { return !severe_.empty(); }

  // On the day (day, day + 1]; calm where severity is not simulated.
  bool On(int day) const { return varies() && severe_[day - origin_] != 0; }

  // The end of a wait that begins on `day`: the clock runs `speed_` times as
  // fast in severe time. At most `days`.
  int After(int day, int wait) const {
    if (!varies()) return day + wait;
    double left = wait;
    while (left > 1e-9 && day < days_) left -= On(day++) ? speed_ : 1.0;
    return day;
  }

  // A day in low..high; a severe one is `speed_` times as likely.
  int Weighted(int low, int high, SplitMix64* rng) const {
    if (!varies()) return rng->WholeNumber(low, high);
    double total = 0.0;
    for (int day = low; day <= high; ++day) total += On(day) ? speed_ : 1.0;
    double left = rng->Uniform() * total;
    int day = low;
    for (; day < high; ++day) {
      left -= On(day) ? speed_ : 1.0;
      if (left < 0.0) break;
    }
    return day;
  }

 private:
  int days_;
  double speed_;
  int origin_ = 0;
  std::vector<char> severe_;
};

// Packs of `supply` days; a refill is collected some days before (doses then
// add) or after the supply ends.
inline void DrawClaims(const Spells& how, int days, const Severity& severity,
                       SplitMix64* rng, std::vector<Record>* out) {
  int day = severity.Weighted(how.first_low, how.first_high, rng);
  const int n_doses = static_cast<int>(how.doses.size());
  while (day < days) {
    const int packs = rng->GeometricFromOne(how.mean_packs);
    const double dose = how.doses[rng->WholeNumber(0, n_doses - 1)];
    for (int pack = 0; pack < packs && day < days; ++pack) {
      if (pack > 0) day += rng->WholeNumber(how.refill_low, how.refill_high);
      if (day >= days) return;
      out->push_back({day, day + how.supply, dose});
      day += how.supply;
    }
    if (day >= days) return;
    day = severity.After(day,
                         std::min(rng->GeometricFromOne(how.mean_gap), days));
  }
}

// Sylvestre and Abrahamowicz 2009: 7 + 7 round(lognormal(0.5, 0.8)) days on,
// then as many, drawn anew, off.
inline int DrawWeeks(SplitMix64* rng, int days) {
  const double weeks = std::round(std::exp(0.5 + 0.8 * rng->Normal()));
  return 7 + 7 * static_cast<int>(std::min(weeks, static_cast<double>(days)));
}

inline void DrawSylvestre(const Spells& how, int days, const Severity& severity,
                          SplitMix64* rng, std::vector<Record>* out) {
  int day = severity.Weighted(how.first_low, how.first_high, rng);
  const int n_doses = static_cast<int>(how.doses.size());
  while (day < days) {
    const int stop = day + DrawWeeks(rng, days);
    const double dose = how.doses[rng->WholeNumber(0, n_doses - 1)];
    out->push_back({day, stop, dose});
    day = severity.After(stop, DrawWeeks(rng, days));
  }
}

}  // namespace vigitensor

#endif  // VIGITENSOR_SIMULATE_DRAWS_H_
