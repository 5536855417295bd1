// Dispensings to exposure records.
//
// Input   one value per dispensing, in any order: person and class (integer
//         codes), drug (integer code), date (whole number), days of supply
//         (whole, > 0), dose per day; stays in hospital, sorted by person and
//         admission, disjoint. All checked by the caller.
// Idea    dispensings are sorted once by (person, class, date), packed into one
//         64-bit key, by a radix sort. Each (person, class) is then a short
//         history that is walked once: a dispensing appends one piece of supply
//         to the line of its drug; rules shorten or close what is there.
//         Under "pause" and "supplied" the walk is on the clock of days at
//         home, and pieces are put back on the calendar at the end.
// Cost    linear; 24 bytes per dispensing for the sort, and the records.
// Groups are independent: blocks of them are walked by several threads, each
// with its own output, which are joined in order. No R is called in a thread.

#include <Rcpp.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>
#include <vector>

#include "episodes-history.h"
#include "episodes-sort.h"

namespace vigitensor {
namespace {

constexpr std::size_t kAhead = 24;

struct Columns {
  const Keys* keys;
  const int* drug;
  Column days, dose;
  const int* once;
  Stays stays;

  void Prefetch(std::uint32_t row) const {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(drug + row);
    days.Prefetch(row);
    dose.Prefetch(row);
#endif
  }
};

// Histories of the sorted dispensings from..to, which hold whole groups.
void WalkGroups(const Columns& c, std::size_t from, std::size_t to,
                const Rules& rules, Output* out) {
  const Keys& keys = *c.keys;
  History history(rules, out);
  std::vector<Supply> batch;
  std::size_t stay = 0;
  if (from < to) {
    stay = std::lower_bound(c.stays.person, c.stays.person + c.stays.n,
                            keys.person(from)) -
           c.stays.person;
  }
  std::size_t k = from;
  while (k < to) {
    const std::uint64_t group = keys.group(k);
    const int person = keys.person(k);
    Home home;
    while (stay < c.stays.n && c.stays.person[stay] < person) ++stay;
    home.in = c.stays.admission + stay;
    home.out = c.stays.discharge + stay;
    while (stay + home.n < c.stays.n && c.stays.person[stay + home.n] == person)
      ++home.n;
    history.Begin(home);
    batch.clear();
    for (; k < to && keys.group(k) == group; ++k) {
      // Rows lie anywhere: those that come soon are asked for in time.
      if (k + kAhead < to) c.Prefetch(keys.row[k + kAhead]);
      const std::uint32_t row = keys.row[k];
      const double date = keys.date(k);
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
      batch.push_back({c.drug[row], day, c.days[row], c.dose[row],
                       c.once != nullptr && c.once[row] != 0, row});
    }
    history.Take(&batch);
    history.End();
  }
}

// Walks the groups between `from` and `to` with several threads.
void WalkBlock(const Columns& c, std::size_t from, std::size_t to,
               const Rules& rules, std::vector<Output>* outputs) {
  const std::size_t n_threads = outputs->size();
  std::vector<std::size_t> cut(n_threads + 1, to);
  cut[0] = from;
  for (std::size_t t = 1; t < n_threads; ++t) {
    std::size_t k = from + (to - from) * t / n_threads;
    k = std::max(k, cut[t - 1]);
    while (k > from && k < to && c.keys->group(k) == c.keys->group(k - 1)) ++k;
    cut[t] = k;
  }
  std::vector<std::exception_ptr> failed(n_threads);
  auto walk = [&](std::size_t t) {
    try {
      WalkGroups(c, cut[t], cut[t + 1], rules, &(*outputs)[t]);
    } catch (...) {
      failed[t] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < n_threads; ++t) threads.emplace_back(walk, t);
  walk(0);
  for (auto& thread : threads) thread.join();
  for (auto& f : failed) {
    if (f) std::rethrow_exception(f);
  }
}

// The outputs of all blocks, in order, as R vectors; each block is freed when
// it has been copied.
template <class Vector, class Get>
Vector JoinOutputs(std::vector<std::vector<Output>>* blocks, std::size_t n,
                   Get get) {
  Vector all(Rcpp::no_init(n));
  auto place = all.begin();
  for (auto& block : *blocks) {
    for (Output& out : block) {
      auto& part = get(out);
      place = std::copy(part.begin(), part.end(), place);
      std::remove_reference_t<decltype(part)>().swap(part);
    }
  }
  return all;
}

}  // namespace
}  // namespace vigitensor

// person, group, drug: integer codes without NA (group NULL: one); date, days,
// dose: see above; once: integers 0/1, or NULL. stay_*: sorted by person and
// admission. rules: doubles in the order of struct Rules.
// Value: row (1-based, of a dispensing of that person and drug), start, stop,
// dose, spell, in order of person, group, drug and start; and counts.
// [[Rcpp::export]]
Rcpp::List episodes_cpp(Rcpp::IntegerVector person, SEXP group,
                        Rcpp::IntegerVector drug, SEXP date, SEXP days,
                        SEXP dose, SEXP once, Rcpp::IntegerVector stay_person,
                        Rcpp::NumericVector admission,
                        Rcpp::NumericVector discharge,
                        Rcpp::NumericVector rules, int n_threads) {
  using vigitensor::Column;
  using vigitensor::Output;
  const auto n = static_cast<std::size_t>(person.size());
  const vigitensor::Keys keys = vigitensor::SortDispensings(
      person.begin(), Rf_isNull(group) ? nullptr : INTEGER(group), Column(date),
      n, std::max(1, n_threads));
  const vigitensor::Rules how{static_cast<int>(rules[0]),
                              rules[1] != 0,
                              rules[2],
                              rules[3],
                              rules[4],
                              rules[5],
                              static_cast<int>(rules[6]),
                              rules[7] != 0};
  const vigitensor::Columns columns{
      &keys,
      drug.begin(),
      Column(days),
      Column(dose),
      Rf_isNull(once) ? nullptr : INTEGER(once),
      {stay_person.begin(), admission.begin(), discharge.begin(),
       static_cast<std::size_t>(stay_person.size())}};

  // Blocks keep interrupts prompt: no R is called inside one.
  constexpr std::size_t kBlock = std::size_t{1} << 22;
  std::vector<std::vector<Output>> blocks;
  std::size_t from = 0;
  while (from < n) {
    std::size_t to = std::min(n, from + kBlock);
    while (to < n && keys.group(to) == keys.group(to - 1)) ++to;
    const int threads = to - from < 10000 ? 1 : std::max(1, n_threads);
    blocks.emplace_back(threads);
    vigitensor::WalkBlock(columns, from, to, how, &blocks.back());
    from = to;
    Rcpp::checkUserInterrupt();
  }

  std::size_t n_out = 0;
  double skipped = 0, switched = 0, discarded = 0, bridged = 0;
  for (auto& block : blocks) {
    for (Output& out : block) {
      n_out += out.row.size();
      skipped += out.skipped;
      switched += out.switched;
      discarded += out.discarded_days;
      bridged += out.bridged_days;
      for (auto& r : out.row) ++r;
    }
  }
  using Rcpp::IntegerVector;
  using Rcpp::NumericVector;
  auto join_int = [&](auto get) {
    return vigitensor::JoinOutputs<IntegerVector>(&blocks, n_out, get);
  };
  auto join_real = [&](auto get) {
    return vigitensor::JoinOutputs<NumericVector>(&blocks, n_out, get);
  };
  using Rcpp::_;
  return Rcpp::List::create(
      _["row"] = join_int([](Output & o) -> auto& { return o.row; }),
      _["start"] = join_real([](Output & o) -> auto& { return o.start; }),
      _["stop"] = join_real([](Output & o) -> auto& { return o.stop; }),
      _["dose"] = join_real([](Output & o) -> auto& { return o.dose; }),
      _["spell"] = join_int([](Output & o) -> auto& { return o.spell; }),
      _["skipped"] = skipped, _["switched"] = switched,
      _["discarded_days"] = discarded, _["bridged_days"] = bridged);
}

// Cores that this process may use; 1 when that is not known.
// [[Rcpp::export]]
int hardware_threads_cpp() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}
