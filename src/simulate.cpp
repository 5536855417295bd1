// Claims-like cohorts with a known weighted cumulative exposure effect.
//
// Idea: a subject's records are drawn first; then the hazard of day t, that is
// of (t - 1, t],
//     h(t) = frailty h0(t) exp(z'g + sum_d log_hr_d WCE_d(t) + severity),
// is summed day by day until it passes an exponential threshold. That is the
// same as an event with probability 1 - exp(-h(t)) on each day survived. With
// recurrent events the sum begins again, with a new threshold.
//
// WCE_d(t) is the sum over records (s, e] of dose (C_d(t - s) - C_d(t - e)),
// C_d(u) = w_d(1) + ... + w_d(u) with u held in 0..cutoff: O(1) per record and
// day, whatever the length of the record. Lag 1 is the day that ends at t.
//
// Cost: O(days x records in the window) for users of a drug, O(log days) for
// the others; memory: one entry per row of people and per record.
// All arguments are checked in R (R/simulate-wce.R).

#include <Rcpp.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "simulate-draws.h"

namespace vigitensor {
namespace {

constexpr int kMeanAge = 55;  // also the age of the baseline hazard
constexpr double kSdAge = 15.0;
constexpr int kYoungest = 18;
constexpr int kOldest = 95;

// One entry per row: a subject has one, or one for each stretch that ends with
// an event or with a change of severity.
struct People {
  std::vector<int> person, entry, exit, event, sex, age, stratum, severe;
};

struct Records {
  std::vector<int> person, drug, start, stop;
  std::vector<double> dose;
};

// One subject while being drawn.
struct Subject {
  int id, sex, age, stratum;  // stratum: 0-based
  int entry, last;            // followed on (entry, last]
  double scale;               // of the baseline hazard
};

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

// Day of the first event in (from, last], or last + 1, for a hazard that does
// not depend on the past: no records, no severity.
int EventOfBaseline(const std::vector<double>& h0, const Subject& subject,
                    int from, double threshold) {
  const double target = h0[from] + threshold / subject.scale;
  const auto begin = h0.begin();
  return static_cast<int>(
      std::lower_bound(begin + from + 1, begin + subject.last + 1, target) -
      begin);
}

// Sums the hazard of a subject from day to day.
class HazardWalk {
 public:
  HazardWalk(const Settings& how, const Subject& subject,
             const std::vector<std::vector<Record>>& records,
             const Severity& severity)
      : how_(how),
        subject_(subject),
        records_(records),
        severity_(severity),
        h0_(how.cum_hazard[subject.stratum]),
        first_(records.size(), 0) {}

  // Day of the first event in (from, last], or last + 1. To be called with
  // rising `from`. *window_days counts the days at risk with a record in a
  // window.
  int NextEvent(int from, double threshold, double* window_days) {
    double hazard = 0.0;
    for (int t = from + 1; t <= subject_.last; ++t) {
      double log_risk = 0.0;
      bool inside = false;
      for (std::size_t d = 0; d < records_.size(); ++d) {
        log_risk +=
            LogRelativeRisk(records_[d], how_.cum[d], t, &first_[d], &inside);
      }
      if (severity_.On(t - 1)) log_risk += how_.confounding.log_hazard_ratio;
      *window_days += inside;
      hazard += subject_.scale * (h0_[t] - h0_[t - 1]) * std::exp(log_risk);
      if (hazard >= threshold) return t;
    }
    return subject_.last + 1;
  }

 private:
  const Settings& how_;
  const Subject& subject_;
  const std::vector<std::vector<Record>>& records_;
  const Severity& severity_;
  const std::vector<double>& h0_;
  std::vector<std::size_t> first_;  // by drug: the first record in the window
};

// Event days of a subject, in order.
std::vector<int> DrawEvents(const Settings& how, const Subject& subject,
                            const std::vector<std::vector<Record>>& records,
                            const Severity& severity, double* window_days) {
  SplitMix64 failing(how.seed, subject.id, kEvent);
  bool walks = severity.varies();
  for (const auto& of_drug : records) walks |= !of_drug.empty();
  HazardWalk walk(how, subject, records, severity);
  std::vector<int> events;
  int from = subject.entry;
  while (from < subject.last) {
    const double threshold = failing.Exponential();
    const int day = walks ? walk.NextEvent(from, threshold, window_days)
                          : EventOfBaseline(how.cum_hazard[subject.stratum],
                                            subject, from, threshold);
    if (day > subject.last) break;
    events.push_back(day);
    if (!how.recurrent) break;
    from = day;
  }
  return events;
}

// Adds the rows of a subject, cut at events and at changes of severity.
// Returns the end of follow-up.
int AddRows(const Settings& how, const Subject& subject,
            const std::vector<int>& events, const Severity& severity,
            People* people) {
  const bool ends = !how.recurrent && !events.empty();
  const int exit = ends ? events.front() : subject.last;
  auto next_event = events.begin();
  int from = subject.entry;
  while (from < exit) {
    const bool severe = severity.On(from);
    const int limit = next_event == events.end() ? exit : *next_event;
    int to = limit;
    if (severity.varies()) {
      to = from + 1;
      while (to < limit && severity.On(to) == severe) ++to;
    }
    const bool event = next_event != events.end() && to == *next_event;
    if (event) ++next_event;
    people->person.push_back(subject.id);
    people->entry.push_back(from);
    people->exit.push_back(to);
    people->event.push_back(event);
    people->sex.push_back(subject.sex);
    people->age.push_back(subject.age);
    people->stratum.push_back(subject.stratum + 1);
    people->severe.push_back(severe);
    from = to;
  }
  return exit;
}

Subject DrawPerson(const Settings& how, int id) {
  Subject subject;
  subject.id = id;
  SplitMix64 covariates(how.seed, id, kCovariates);
  subject.sex = covariates.Chance(0.5);
  const double years = std::round(kMeanAge + kSdAge * covariates.Normal());
  subject.age = static_cast<int>(
      std::min<double>(std::max<double>(years, kYoungest), kOldest));

  SplitMix64 entering(how.seed, id, kEntry);
  const bool late = entering.Chance(how.late_entry) && how.days > 1;
  subject.entry = late ? entering.WholeNumber(1, how.days / 2) : 0;

  SplitMix64 leaving(how.seed, id, kDropout);
  const bool leaves = leaving.Chance(how.dropout);
  subject.last =
      leaves ? leaving.WholeNumber(subject.entry + 1, how.days) : how.days;

  SplitMix64 belonging(how.seed, id, kStratum);
  const int n_strata = static_cast<int>(how.cum_hazard.size());
  subject.stratum = belonging.WholeNumber(0, n_strata - 1);

  subject.scale = std::exp(how.beta_sex * subject.sex +
                           how.beta_age * (subject.age - kMeanAge));
  if (how.frailty > 0.0) {
    SplitMix64 frail(how.seed, id, kFrailty);
    subject.scale *= how.frailty * frail.Gamma(1.0 / how.frailty);
  }
  return subject;
}

// Subject `id` (1, 2, ...) of the run: rows of people, and the records that
// start before the end of follow-up.
void DrawSubject(const Settings& how, int id, People* people, Records* out,
                 std::vector<std::vector<Record>>* scratch,
                 double* window_days) {
  const Subject subject = DrawPerson(how, id);
  const Severity severity(how, id);
  for (std::size_t d = 0; d < how.users.size(); ++d) {
    std::vector<Record>& records = (*scratch)[d];
    records.clear();
    SplitMix64 use(how.seed, id, kFirstDrug + d);
    if (!use.Chance(how.users[d])) continue;
    if (how.spells.claims) {
      DrawClaims(how.spells, how.days, severity, &use, &records);
    } else {
      DrawSylvestre(how.spells, how.days, severity, &use, &records);
    }
  }
  const std::vector<int> events =
      DrawEvents(how, subject, *scratch, severity, window_days);
  const int exit = AddRows(how, subject, events, severity, people);
  for (std::size_t d = 0; d < scratch->size(); ++d) {
    for (const Record& record : (*scratch)[d]) {
      if (record.start >= exit) break;
      out->person.push_back(id);
      out->drug.push_back(static_cast<int>(d) + 1);
      out->start.push_back(record.start);
      out->stop.push_back(record.stop);
      out->dose.push_back(record.dose);
    }
  }
}

std::vector<std::vector<double>> Vectors(const Rcpp::List& list) {
  std::vector<std::vector<double>> out;
  for (R_xlen_t k = 0; k < list.size(); ++k) {
    out.push_back(Rcpp::as<std::vector<double>>(list[k]));
  }
  return out;
}

}  // namespace
}  // namespace vigitensor

// spells: see struct Spells; people: list of sex and age (log hazard ratios),
// late_entry, dropout, recurrent, frailty; confounding: list of on, calm,
// severe, speed, log_hazard_ratio; cum: list, one vector per drug of log_hr x
// cumulated weights on lags 0..cutoff; cum_hazard: list, one vector per stratum
// of cumulative baseline hazard on days 0..days.
// [[Rcpp::export]]
Rcpp::List simulate_cohort_cpp(int n, int days, double seed,
                               const Rcpp::List& spells,
                               const Rcpp::List& people,
                               const Rcpp::List& confounding,
                               const std::vector<double>& users,
                               const Rcpp::List& cum,
                               const Rcpp::List& cum_hazard) {
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
  how.confounding = {
      as<bool>(confounding["on"]), as<double>(confounding["calm"]),
      as<double>(confounding["severe"]), as<double>(confounding["speed"]),
      as<double>(confounding["log_hazard_ratio"])};
  how.users = users;
  how.cum = vigitensor::Vectors(cum);
  how.cum_hazard = vigitensor::Vectors(cum_hazard);
  how.beta_sex = as<double>(people["sex"]);
  how.beta_age = as<double>(people["age"]);
  how.late_entry = as<double>(people["late_entry"]);
  how.dropout = as<double>(people["dropout"]);
  how.recurrent = as<bool>(people["recurrent"]);
  how.frailty = as<double>(people["frailty"]);

  vigitensor::People rows;
  vigitensor::Records records;
  std::vector<std::vector<vigitensor::Record>> scratch(users.size());
  double window_days = 0.0;
  for (int i = 0; i < n; ++i) {
    if (i % 1024 == 0) Rcpp::checkUserInterrupt();
    vigitensor::DrawSubject(how, i + 1, &rows, &records, &scratch,
                            &window_days);
  }
  using Rcpp::_;
  return Rcpp::List::create(
      _["people"] = Rcpp::List::create(
          _["person"] = rows.person, _["entry"] = rows.entry,
          _["exit"] = rows.exit, _["event"] = rows.event, _["sex"] = rows.sex,
          _["age"] = rows.age, _["stratum"] = rows.stratum,
          _["severe"] = rows.severe),
      _["records"] = Rcpp::List::create(
          _["person"] = records.person, _["drug"] = records.drug,
          _["start"] = records.start, _["stop"] = records.stop,
          _["dose"] = records.dose),
      _["window_days"] = window_days);
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
