// Claims-like cohorts with a known weighted cumulative exposure effect.
//
// Idea: a subject's records are drawn first; then the hazard of day t, that is
// of (t - 1, t],
//     h(t) = h0(t) exp(z'g + sum_d log_hr_d WCE_d(t)),
// is summed day by day until it passes an exponential threshold. That is the
// same as an event with probability 1 - exp(-h(t)) on each day survived.
//
// WCE_d(t) is the sum over records (s, e] of dose (C_d(t - s) - C_d(t - e)),
// C_d(u) = w_d(1) + ... + w_d(u) with u held in 0..cutoff: O(1) per record and
// day, whatever the length of the record. Lag 1 is the day that ends at t.
//
// Cost: O(days x records in the window) for users of a drug, O(log days) for
// the others; memory: one entry per subject and per record.
// All arguments are checked in R (R/simulate-wce.R).

#include <Rcpp.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "counter-rng.h"

namespace vigitensor {
namespace {

// What each stream of a subject is used for. Drugs come last, so that one more
// drug changes nothing else.
enum Stream : std::uint64_t {
  kCovariates = 0,
  kEntry = 1,
  kDropout = 2,
  kEvent = 3,
  kFirstDrug = 16
};

constexpr int kMeanAge = 55;  // also the age of the baseline hazard
constexpr double kSdAge = 15.0;
constexpr int kYoungest = 18;
constexpr int kOldest = 95;

struct Spells {
  bool claims;  // packs and refills; otherwise spells of whole weeks
  int first_low, first_high;
  int supply;
  double mean_packs;
  int refill_low, refill_high;
  double mean_gap;
  std::vector<double> doses;
};

struct Settings {
  std::uint64_t seed;
  int days;
  Spells spells;
  std::vector<double> users;             // one share per drug
  std::vector<std::vector<double>> cum;  // per drug: log_hr C(u), u = 0..m
  std::vector<double> cum_hazard;        // H0(t), t = 0..days
  double beta_sex, beta_age;
  double late_entry, dropout;
};

struct Record {
  int start, stop;
  double dose;
};

struct People {
  std::vector<int> entry, exit, event, sex, age;
};

struct Records {
  std::vector<int> person, drug, start, stop;
  std::vector<double> dose;
};

// Packs of `supply` days; a refill is collected some days before (doses then
// add) or after the supply ends.
void DrawClaims(const Spells& how, int days, SplitMix64* rng,
                std::vector<Record>* out) {
  int day = rng->WholeNumber(how.first_low, how.first_high);
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
    day += std::min(rng->GeometricFromOne(how.mean_gap), days);
  }
}

// Sylvestre and Abrahamowicz 2009: 7 + 7 round(lognormal(0.5, 0.8)) days on,
// then as many, drawn anew, off.
int DrawWeeks(SplitMix64* rng, int days) {
  const double weeks = std::round(std::exp(0.5 + 0.8 * rng->Normal()));
  return 7 + 7 * static_cast<int>(std::min(weeks, static_cast<double>(days)));
}

void DrawSylvestre(const Spells& how, int days, SplitMix64* rng,
                   std::vector<Record>* out) {
  int day = rng->WholeNumber(how.first_low, how.first_high);
  const int n_doses = static_cast<int>(how.doses.size());
  while (day < days) {
    const int stop = day + DrawWeeks(rng, days);
    const double dose = how.doses[rng->WholeNumber(0, n_doses - 1)];
    out->push_back({day, stop, dose});
    day = stop + DrawWeeks(rng, days);
  }
}

// log_hr x WCE on day t. Records are in order of start and of stop; *first
// skips those that have left the window and never goes back. Sets *inside when
// a record is in the window.
double LogRelativeRisk(const std::vector<Record>& records,
                       const std::vector<double>& cum, int t,
                       std::size_t* first, bool* inside) {
  const int cutoff = static_cast<int>(cum.size()) - 1;
  while (*first < records.size() && t - records[*first].stop >= cutoff) {
    ++*first;
  }
  double sum = 0.0;
  for (std::size_t k = *first; k < records.size(); ++k) {
    const Record& record = records[k];
    if (record.start >= t) break;
    *inside = true;
    const int oldest = std::min(t - record.start, cutoff);
    const int newest = std::max(t - record.stop, 0);
    sum += record.dose * (cum[oldest] - cum[newest]);
  }
  return sum;
}

// Day of the first event in (entry, last], or last + 1. *window_days counts
// the days at risk with a record in a window.
int DrawEvent(const Settings& how, int entry, int last, double log_baseline,
              const std::vector<std::vector<Record>>& records, double threshold,
              double* window_days) {
  const double scale = std::exp(log_baseline);
  const std::vector<double>& h0 = how.cum_hazard;
  bool any_record = false;
  for (const auto& of_drug : records) any_record |= !of_drug.empty();
  if (!any_record) {
    const double target = h0[entry] + threshold / scale;
    const auto begin = h0.begin();
    return static_cast<int>(
        std::lower_bound(begin + entry + 1, begin + last + 1, target) - begin);
  }
  std::vector<std::size_t> first(records.size(), 0);
  double hazard = 0.0;
  for (int t = entry + 1; t <= last; ++t) {
    double log_risk = 0.0;
    bool inside = false;
    for (std::size_t d = 0; d < records.size(); ++d) {
      log_risk +=
          LogRelativeRisk(records[d], how.cum[d], t, &first[d], &inside);
    }
    *window_days += inside;
    hazard += scale * (h0[t] - h0[t - 1]) * std::exp(log_risk);
    if (hazard >= threshold) return t;
  }
  return last + 1;
}

// Subject `i` (0-based) of the run: people.*[i], and the records that start
// before the end of follow-up.
void DrawSubject(const Settings& how, int i, People* people, Records* out,
                 std::vector<std::vector<Record>>* scratch,
                 double* window_days) {
  const std::uint64_t subject = static_cast<std::uint64_t>(i) + 1;

  SplitMix64 covariates(how.seed, subject, kCovariates);
  const int sex = covariates.Chance(0.5);
  const double years = std::round(kMeanAge + kSdAge * covariates.Normal());
  const int age = static_cast<int>(
      std::min<double>(std::max<double>(years, kYoungest), kOldest));

  SplitMix64 entering(how.seed, subject, kEntry);
  const bool late = entering.Chance(how.late_entry) && how.days > 1;
  const int entry = late ? entering.WholeNumber(1, how.days / 2) : 0;

  SplitMix64 leaving(how.seed, subject, kDropout);
  const bool leaves = leaving.Chance(how.dropout);
  const int last = leaves ? leaving.WholeNumber(entry + 1, how.days) : how.days;

  for (std::size_t d = 0; d < how.users.size(); ++d) {
    std::vector<Record>& records = (*scratch)[d];
    records.clear();
    SplitMix64 use(how.seed, subject, kFirstDrug + d);
    if (!use.Chance(how.users[d])) continue;
    if (how.spells.claims) {
      DrawClaims(how.spells, how.days, &use, &records);
    } else {
      DrawSylvestre(how.spells, how.days, &use, &records);
    }
  }

  SplitMix64 failing(how.seed, subject, kEvent);
  const double log_baseline =
      how.beta_sex * sex + how.beta_age * (age - kMeanAge);
  const int day = DrawEvent(how, entry, last, log_baseline, *scratch,
                            failing.Exponential(), window_days);
  const bool event = day <= last;
  const int exit = event ? day : last;

  people->entry[i] = entry;
  people->exit[i] = exit;
  people->event[i] = event;
  people->sex[i] = sex;
  people->age[i] = age;
  for (std::size_t d = 0; d < scratch->size(); ++d) {
    for (const Record& record : (*scratch)[d]) {
      if (record.start >= exit) break;
      out->person.push_back(i + 1);
      out->drug.push_back(static_cast<int>(d) + 1);
      out->start.push_back(record.start);
      out->stop.push_back(record.stop);
      out->dose.push_back(record.dose);
    }
  }
}

}  // namespace
}  // namespace vigitensor

// cum: list, one vector per drug of log_hr x cumulated weights on lags
// 0..cutoff; cum_hazard: cumulative baseline hazard on days 0..days.
// [[Rcpp::export]]
Rcpp::List simulate_cohort_cpp(int n, int days, double seed,
                               const Rcpp::List& spells,
                               const std::vector<double>& users,
                               const Rcpp::List& cum,
                               const std::vector<double>& cum_hazard,
                               double beta_sex, double beta_age,
                               double late_entry, double dropout) {
  using Rcpp::as;
  vigitensor::Settings how;
  how.seed = static_cast<std::uint64_t>(static_cast<std::int64_t>(seed));
  how.days = days;
  how.spells = {as<bool>(spells["claims"]),
                as<std::vector<int>>(spells["first_day"])[0],
                as<std::vector<int>>(spells["first_day"])[1],
                as<int>(spells["supply"]),
                as<double>(spells["packs"]),
                as<std::vector<int>>(spells["refill"])[0],
                as<std::vector<int>>(spells["refill"])[1],
                as<double>(spells["gap"]),
                as<std::vector<double>>(spells["doses"])};
  how.users = users;
  for (R_xlen_t d = 0; d < cum.size(); ++d) {
    how.cum.push_back(as<std::vector<double>>(cum[d]));
  }
  how.cum_hazard = cum_hazard;
  how.beta_sex = beta_sex;
  how.beta_age = beta_age;
  how.late_entry = late_entry;
  how.dropout = dropout;

  vigitensor::People people;
  for (auto* column :
       {&people.entry, &people.exit, &people.event, &people.sex, &people.age}) {
    column->resize(n);
  }
  vigitensor::Records records;
  std::vector<std::vector<vigitensor::Record>> scratch(users.size());
  double window_days = 0.0;
  for (int i = 0; i < n; ++i) {
    if (i % 1024 == 0) Rcpp::checkUserInterrupt();
    vigitensor::DrawSubject(how, i, &people, &records, &scratch, &window_days);
  }
  using Rcpp::_;
  return Rcpp::List::create(
      _["entry"] = people.entry, _["exit"] = people.exit,
      _["event"] = people.event, _["sex"] = people.sex, _["age"] = people.age,
      _["person"] = records.person, _["drug"] = records.drug,
      _["start"] = records.start, _["stop"] = records.stop,
      _["dose"] = records.dose, _["window_days"] = window_days);
}

// The first n numbers of SplitMix64 from a given state, in hexadecimal: for the
// test against published values.
// [[Rcpp::export]]
Rcpp::CharacterVector splitmix64_cpp(double state, int n) {
  vigitensor::SplitMix64 rng(static_cast<std::uint64_t>(state));
  Rcpp::CharacterVector out(n);
  char text[17];
  for (int k = 0; k < n; ++k) {
    std::snprintf(text, sizeof(text), "%016llx",
                  static_cast<unsigned long long>(rng.Next()));
    out[k] = text;
  }
  return out;
}
