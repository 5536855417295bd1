// People and records -> one row per person-day.
//
// Input: people i = 0..n-1 with whole days entry < exit; records grouped by
// person: those of person i are first[i], ..., first[i + 1] - 1, in any order,
// (start, stop] in whole days with a dose per day. Overlapping records add.
// Output: rows of person 0, then 1, ...; row r of a person is the day
// (entry + r, entry + r + 1].
//
// Doses are added day by day, not as differences, so that a day without any
// record is exactly 0 whatever the doses. The weighted cumulative exposure is
// the sum over records of dose (C(t - start) - C(t - stop)), C cumulated
// weights held in lags 0..cutoff: records before entry count too.
//
// Cost: O(rows + days covered by records + records x days in window).
// All arguments are checked in R (R/claims-unit-rows.R).

#include <Rcpp.h>

#include <algorithm>
#include <cstddef>

namespace vigitensor {
namespace {

// Adds the dose of one record to the days of one person; day_0 is his entry.
void AddDose(double start, double stop, double dose, double entry, double exit,
             double* dose_of_day) {
  const auto from = static_cast<std::ptrdiff_t>(std::max(start - entry, 0.0));
  const auto to = static_cast<std::ptrdiff_t>(std::min(stop, exit) - entry);
  for (std::ptrdiff_t day = from; day < to; ++day) dose_of_day[day] += dose;
}

// Adds one record's share of the weighted cumulative exposure: row r is the
// event time t = entry + r + 1, which sees the record while
// start < t < stop + cutoff.
void AddExposure(double start, double stop, double dose, double entry,
                 double exit, const double* cum, int cutoff, double* wce) {
  const double first = std::max(start, entry) + 1.0;
  const double last = std::min(stop + cutoff - 1.0, exit);
  for (double t = first; t <= last; t += 1.0) {
    const int oldest = static_cast<int>(std::min<double>(t - start, cutoff));
    const int newest = static_cast<int>(std::max(t - stop, 0.0));
    wce[static_cast<std::ptrdiff_t>(t - entry) - 1] +=
        dose * (cum[oldest] - cum[newest]);
  }
}

}  // namespace
}  // namespace vigitensor

// first: n + 1 positions in the records (0-based); cum: cumulated weights on
// lags 0..cutoff, or of length 0 when no exposure is wanted.
// [[Rcpp::export]]
Rcpp::List unit_rows_cpp(const Rcpp::NumericVector& entry,
                         const Rcpp::NumericVector& exit,
                         const Rcpp::IntegerVector& event, double n_rows,
                         const Rcpp::IntegerVector& first,
                         const Rcpp::NumericVector& start,
                         const Rcpp::NumericVector& stop,
                         const Rcpp::NumericVector& dose,
                         const Rcpp::NumericVector& cum) {
  const auto size = static_cast<R_xlen_t>(n_rows);
  const bool with_wce = cum.size() > 0;
  const int cutoff = static_cast<int>(cum.size()) - 1;
  Rcpp::IntegerVector person(Rcpp::no_init(size));
  Rcpp::IntegerVector row_event(size), row_start(Rcpp::no_init(size)),
      row_stop(Rcpp::no_init(size));
  Rcpp::NumericVector row_dose(size), wce(with_wce ? size : 0);
  R_xlen_t row = 0;
  for (R_xlen_t i = 0; i < entry.size(); ++i) {
    if (i % 1024 == 0) Rcpp::checkUserInterrupt();
    const auto days = static_cast<R_xlen_t>(exit[i] - entry[i]);
    for (R_xlen_t day = 0; day < days; ++day) {
      person[row + day] = static_cast<int>(i) + 1;
      row_start[row + day] = static_cast<int>(entry[i] + day);
      row_stop[row + day] = static_cast<int>(entry[i] + day) + 1;
    }
    row_event[row + days - 1] = event[i];
    for (int k = first[i]; k < first[i + 1]; ++k) {
      vigitensor::AddDose(start[k], stop[k], dose[k], entry[i], exit[i],
                          row_dose.begin() + row);
      if (with_wce) {
        vigitensor::AddExposure(start[k], stop[k], dose[k], entry[i], exit[i],
                                cum.begin(), cutoff, wce.begin() + row);
      }
    }
    row += days;
  }
  using Rcpp::_;
  return Rcpp::List::create(_["person"] = person, _["event"] = row_event,
                            _["start"] = row_start, _["stop"] = row_stop,
                            _["dose"] = row_dose, _["wce"] = wce);
}
