// Dispensings to exposure records.
//
// Input   one value per dispensing, in any order: person and class (integer
//         codes), drug (integer code), date (whole number), days of supply
//         (whole, > 0), dose per day; stays in hospital, sorted by person and
//         admission, disjoint. All checked by the caller.
// Idea    rows are cut into parts by person, each of which is sorted by
//         (person, class, date) in the cache (episodes-sort.h). Each (person,
//         class) is then a short history that is walked: a dispensing appends
//         one piece of supply to the line of its drug; rules shorten or close
//         what is there (episodes-history.h). Under "pause" and "supplied" the
//         walk is on the clock of days at home, and pieces are put back on the
//         calendar at the end.
//         All histories are walked twice: the first time records are counted,
//         so that the second time they are written where they belong. That is
//         quicker than to keep them in between, and needs no memory.
// Cost    linear; 16 bytes per dispensing (32 if days or doses are fractions)
//         and the records.
// Parts are independent: threads take one after the other. No R is called in a
// thread, and the result does not depend on their number.

#include <Rcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "episodes-history.h"
#include "episodes-sort.h"

namespace vigitensor {
namespace {

struct Study {
  Layout layout;
  Stays stays;
  Rules rules;
  double dose;  // of all dispensings, where rows have none
  int n_threads;
};

// The histories of one part, whose rows are sorted.
template <class Row>
void WalkPart(const Row* rows, std::size_t n, const Study& study, Output* out) {
  const Layout& layout = study.layout;
  const Stays& stays = study.stays;
  History history(study.rules, out);
  std::vector<Supply> batch;
  std::size_t stay = 0;
  if (n > 0) {
    stay = std::lower_bound(stays.person, stays.person + stays.n,
                            layout.Person(rows[0].key)) -
           stays.person;
  }
  std::size_t k = 0;
  while (k < n) {
    const std::uint64_t group = layout.Group(rows[k].key);
    const int person = layout.Person(rows[k].key);
    Home home;
    while (stay < stays.n && stays.person[stay] < person) ++stay;
    home.in = stays.admission + stay;
    home.out = stays.discharge + stay;
    while (stay + home.n < stays.n && stays.person[stay + home.n] == person) {
      ++home.n;
    }
    history.Begin(person, home);
    batch.clear();
    for (; k < n && layout.Group(rows[k].key) == group; ++k) {
      const Row& row = rows[k];
      const double date = layout.Date(row.key);
      // What was dispensed before a stay must be there when it begins.
      if (!batch.empty() && history.StayBegins(date)) {
        history.Take(&batch);
        batch.clear();
      }
      const double day = history.DayOf(date);
      if (!batch.empty() && batch.front().day != day) {
        history.Take(&batch);
        batch.clear();
      }
      batch.push_back(
          {row.drug(), day, row.days(), row.dose(study.dose), row.once()});
    }
    history.Take(&batch);
    history.End();
  }
}

// work(t, p) for every part p, by threads t; interrupts are looked for now and
// then.
template <class Work>
void ForParts(std::size_t n_parts, int n_threads, Work work) {
  constexpr std::size_t kTogether = 64;
  for (std::size_t from = 0; from < n_parts; from += kTogether) {
    const std::size_t to = std::min(n_parts, from + kTogether);
    std::atomic<std::size_t> next{from};
    InThreads(n_parts == 1 ? 1 : n_threads, [&](int t) {
      for (std::size_t p = next++; p < to; p = next++) work(t, p);
    });
    Rcpp::checkUserInterrupt();
  }
}

template <class Row>
Rcpp::List Episodes(const Columns& columns, const Study& study) {
  using Rcpp::_;
  Parts<Row> parts = CutIntoParts<Row>(columns, study.layout, study.n_threads);
  Row* rows = parts.rows.get();
  auto size = [&](std::size_t p) {
    return parts.begin[p + 1] - parts.begin[p];
  };
  std::vector<Output> counted(parts.size());
  std::vector<std::vector<Row>> spare(study.n_threads);
  ForParts(parts.size(), study.n_threads, [&](int t, std::size_t p) {
    if (spare[t].size() < size(p)) spare[t].resize(size(p));
    SortPart(rows + parts.begin[p], size(p), spare[t].data(), parts.bits);
    WalkPart(rows + parts.begin[p], size(p), study, &counted[p]);
  });
  spare.clear();

  Output all;
  std::vector<std::size_t> first(parts.size());
  for (std::size_t p = 0; p < parts.size(); ++p) {
    first[p] = all.n;
    all.n += counted[p].n;
    all.skipped += counted[p].skipped;
    all.switched += counted[p].switched;
    all.discarded_days += counted[p].discarded_days;
    all.bridged_days += counted[p].bridged_days;
  }
  if (all.n > std::numeric_limits<int>::max()) {
    Rcpp::stop("these are more records than a data frame can have");
  }
  Rcpp::IntegerVector person(Rcpp::no_init(all.n)), drug(Rcpp::no_init(all.n)),
      spell(Rcpp::no_init(all.n));
  Rcpp::NumericVector start(Rcpp::no_init(all.n)), stop(Rcpp::no_init(all.n)),
      dose(Rcpp::no_init(all.n));
  const Output begin{person.begin(), drug.begin(), spell.begin(),
                     start.begin(),  stop.begin(), dose.begin()};
  ForParts(parts.size(), study.n_threads, [&](int, std::size_t p) {
    Output out = begin;
    out.n = first[p];
    WalkPart(rows + parts.begin[p], size(p), study, &out);
  });
  return Rcpp::List::create(
      _["person"] = person, _["drug"] = drug, _["start"] = start,
      _["stop"] = stop, _["dose"] = dose, _["spell"] = spell,
      _["skipped"] = all.skipped, _["switched"] = all.switched,
      _["discarded_days"] = all.discarded_days,
      _["bridged_days"] = all.bridged_days);
}

}  // namespace
}  // namespace vigitensor

// person, group, drug: integer codes without NA (group NULL: one); date, days,
// dose: see above; once: integers 0/1, or NULL. stay_*: sorted by person and
// admission. rules: doubles in the order of struct Rules.
// Value: person and drug (codes as they came), start, stop, dose, spell, in
// order of person, group, drug and start; and counts.
// [[Rcpp::export]]
Rcpp::List episodes_cpp(Rcpp::IntegerVector person, SEXP group,
                        Rcpp::IntegerVector drug, SEXP date, SEXP days,
                        SEXP dose, SEXP once, Rcpp::IntegerVector stay_person,
                        Rcpp::NumericVector admission,
                        Rcpp::NumericVector discharge,
                        Rcpp::NumericVector rules, int n_threads) {
  using vigitensor::Column;
  const auto n = static_cast<std::size_t>(person.size());
  const vigitensor::Columns columns{
      person.begin(), Rf_isNull(group) ? nullptr : INTEGER(group),
      drug.begin(),   Rf_isNull(once) ? nullptr : INTEGER(once),
      Column(date),   Column(days),
      Column(dose),   n};
  vigitensor::Study study;
  study.n_threads = n < 10000 ? 1 : std::max(1, n_threads);
  study.stays = {stay_person.begin(), admission.begin(), discharge.begin(),
                 static_cast<std::size_t>(stay_person.size())};
  study.rules = {static_cast<int>(rules[0]),
                 rules[1] != 0,
                 rules[2],
                 rules[3],
                 rules[4],
                 rules[5],
                 static_cast<int>(rules[6]),
                 rules[7] != 0};
  study.dose = n > 0 ? columns.dose[0] : 0;
  if (n > 0) study.layout = FindLayout(columns, study.n_threads);
  if (study.layout.bits() > 63) {
    Rcpp::stop("people, classes and dates exceed 63 bits");
  }
  const bool narrow = columns.days.i != nullptr && columns.dose.step == 0 &&
                      columns.once == nullptr;
  return narrow ? vigitensor::Episodes<vigitensor::NarrowRow>(columns, study)
                : vigitensor::Episodes<vigitensor::WideRow>(columns, study);
}

// Cores that this process may use; 1 when that is not known.
// [[Rcpp::export]]
int hardware_threads_cpp() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}
