// Dispensings in order of person, class and date.
//
// Idea    the three are packed into one 64-bit key. One pass moves whole rows
//         (the key with what the walk needs) into some thousand parts by the
//         highest bits of the key; each part fits into the cache of a core and
//         is sorted there by radix, by whoever walks it. Memory is gone through
//         once in random order, whatever the number of rows.
#ifndef VIGITENSOR_EPISODES_SORT_H_
#define VIGITENSOR_EPISODES_SORT_H_

#include <Rcpp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace vigitensor {

// A column of integers or of doubles, read without a copy; one value stands for
// all rows.
struct Column {
  const int* i = nullptr;
  const double* d = nullptr;
  std::size_t step = 1;
  explicit Column(SEXP x) : step(Rf_xlength(x) == 1 ? 0 : 1) {
    if (TYPEOF(x) == INTSXP) i = INTEGER(x);
    if (TYPEOF(x) == REALSXP) d = REAL(x);
  }
  double operator[](std::size_t k) const {
    return i ? i[k * step] : d[k * step];
  }
};

// Runs work(t) for t in 0..n_threads - 1, the first on this thread; what one of
// them throws is thrown again here. `work` must not call R.
template <class Work>
void InThreads(int n_threads, Work work) {
  std::vector<std::exception_ptr> failed(n_threads);
  auto guarded = [&](int t) {
    try {
      work(t);
    } catch (...) {
      failed[t] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < n_threads; ++t) threads.emplace_back(guarded, t);
  guarded(0);
  for (auto& thread : threads) thread.join();
  for (auto& f : failed) {
    if (f) std::rethrow_exception(f);
  }
}

inline int BitsFor(std::uint64_t largest) {
  int bits = 0;
  while (bits < 64 && (largest >> bits) != 0) ++bits;
  return bits;
}

// ---- keys -------------------------------------------------------------------

// Columns as they came: person and class are codes, dates whole.
struct Columns {
  const int *person, *group, *drug, *once;  // group, once: nullptr if none
  Column date, days, dose;
  std::size_t n;
};

// Person, class, date, from the high bits on.
struct Layout {
  int date_bits = 0, class_bits = 0, person_bits = 0;
  std::int64_t first_date = 0, first_person = 0;

  int bits() const { return person_bits + class_bits + date_bits; }
  std::uint64_t Key(const Columns& c, std::size_t k) const {
    std::uint64_t key = c.person[k] - first_person;
    key = (key << class_bits) | (c.group ? c.group[k] : 0);
    return (key << date_bits) |
           (static_cast<std::int64_t>(c.date[k]) - first_date);
  }
  std::uint64_t Group(std::uint64_t key) const { return key >> date_bits; }
  double Date(std::uint64_t key) const {
    const std::uint64_t mask = (std::uint64_t{1} << date_bits) - 1;
    return static_cast<double>(static_cast<std::int64_t>(key & mask) +
                               first_date);
  }
  int Person(std::uint64_t key) const {
    return static_cast<int>(
        static_cast<std::int64_t>(key >> (date_bits + class_bits)) +
        first_person);
  }
};

inline Layout FindLayout(const Columns& c, int n_threads) {
  struct Range {
    std::int64_t first_date, last_date, first_person, last_person, last_class;
  };
  std::vector<Range> ranges(n_threads);
  InThreads(n_threads, [&](int t) {
    const std::size_t from = c.n * t / n_threads;
    const auto date = static_cast<std::int64_t>(c.date[from]);
    Range r{date, date, c.person[from], c.person[from], 0};
    for (std::size_t k = from; k < c.n * (t + 1) / n_threads; ++k) {
      const auto day = static_cast<std::int64_t>(c.date[k]);
      const std::int64_t person = c.person[k];
      r.first_date = std::min(r.first_date, day);
      r.last_date = std::max(r.last_date, day);
      r.first_person = std::min(r.first_person, person);
      r.last_person = std::max(r.last_person, person);
      if (c.group)
        r.last_class = std::max<std::int64_t>(r.last_class, c.group[k]);
    }
    ranges[t] = r;
  });
  Range all = ranges[0];
  for (const Range& r : ranges) {
    all.first_date = std::min(all.first_date, r.first_date);
    all.last_date = std::max(all.last_date, r.last_date);
    all.first_person = std::min(all.first_person, r.first_person);
    all.last_person = std::max(all.last_person, r.last_person);
    all.last_class = std::max(all.last_class, r.last_class);
  }
  Layout layout;
  layout.first_date = all.first_date;
  layout.first_person = all.first_person;
  layout.date_bits = BitsFor(all.last_date - all.first_date);
  layout.class_bits = BitsFor(all.last_class);
  layout.person_bits = BitsFor(all.last_person - all.first_person);
  return layout;
}

// ---- rows -------------------------------------------------------------------

// One dose for all, and days that are integers: the usual case.
struct NarrowRow {
  std::uint64_t key;
  std::int32_t drug_code, days_given;
  void Set(std::uint64_t k, const Columns& c, std::size_t row) {
    key = k;
    drug_code = c.drug[row];
    days_given = c.days.i[row * c.days.step];
  }
  int drug() const { return drug_code; }
  double days() const { return days_given; }
  double dose(double common) const { return common; }
  bool once() const { return false; }
};

struct WideRow {
  std::uint64_t key;
  double days_given, dose_given;
  std::int32_t drug_code, is_once;
  void Set(std::uint64_t k, const Columns& c, std::size_t row) {
    key = k;
    days_given = c.days[row];
    dose_given = c.dose[row];
    drug_code = c.drug[row];
    is_once = c.once != nullptr && c.once[row] != 0;
  }
  int drug() const { return drug_code; }
  double days() const { return days_given; }
  double dose(double) const { return dose_given; }
  bool once() const { return is_once != 0; }
};

// ---- parts ------------------------------------------------------------------

constexpr int kDigit = 11;
constexpr std::size_t kBuckets = std::size_t{1} << kDigit;

// Rows, in parts that follow one another in order of their keys; within a part
// they are in no order yet. No person and class are in two parts.
template <class Row>
struct Parts {
  std::unique_ptr<Row[]> rows;
  std::vector<std::size_t> begin;  // of each part, and the end
  int bits = 0;                    // of a key in which rows of a part differ
  std::size_t size() const { return begin.size() - 1; }
};

template <class Row>
Parts<Row> CutIntoParts(const Columns& c, const Layout& layout, int n_threads) {
  constexpr std::size_t kRowsOfPart = 1 << 14;
  const int wanted = std::min(kDigit, BitsFor(c.n / kRowsOfPart));
  const int shift = std::max(layout.date_bits, layout.bits() - wanted);
  const std::size_t n_parts = std::size_t{1} << (layout.bits() - shift);
  auto slice = [&](int t) { return c.n * t / n_threads; };
  std::vector<std::vector<std::size_t>> place(n_threads);
  InThreads(n_threads, [&](int t) {
    std::vector<std::size_t> mine(n_parts);
    for (std::size_t k = slice(t); k < slice(t + 1); ++k) {
      ++mine[layout.Key(c, k) >> shift];
    }
    place[t].swap(mine);
  });
  // new without (): pages are first touched by the threads that fill them.
  Parts<Row> parts{std::unique_ptr<Row[]>(new Row[c.n]), {}, shift};
  std::size_t at = 0;
  for (std::size_t p = 0; p < n_parts; ++p) {
    parts.begin.push_back(at);
    for (auto& of_thread : place) at += std::exchange(of_thread[p], at);
  }
  parts.begin.push_back(at);
  Row* rows = parts.rows.get();
  InThreads(n_threads, [&](int t) {
    std::vector<std::size_t> mine(place[t]);
    for (std::size_t k = slice(t); k < slice(t + 1); ++k) {
      const std::uint64_t key = layout.Key(c, k);
      rows[mine[key >> shift]++].Set(key, c, k);
    }
  });
  return parts;
}

// Sorts rows by the lowest `bits` of their keys; those above are equal. `spare`
// has room for as many rows.
template <class Row>
void SortPart(Row* rows, std::size_t n, Row* spare, int bits) {
  auto less = [](const Row& a, const Row& b) { return a.key < b.key; };
  if (std::is_sorted(rows, rows + n, less)) return;
  if (n < 256) {
    std::sort(rows, rows + n, less);
    return;
  }
  // Where ids leave large gaps, parts are too large for the cache.
  constexpr std::size_t kInCache = 1 << 17;
  const bool large = n > kInCache && bits > kDigit;
  const int n_passes = large ? 1 : (bits + kDigit - 1) / kDigit;
  const int digit = large ? kDigit : (bits + n_passes - 1) / n_passes;
  const std::uint64_t mask = (std::uint64_t{1} << digit) - 1;
  std::vector<std::size_t> place(kBuckets);
  Row *from = rows, *to = spare;
  for (int pass = 0; pass < n_passes; ++pass) {
    const int shift = large ? bits - kDigit : pass * digit;
    std::fill(place.begin(), place.end(), 0);
    for (std::size_t k = 0; k < n; ++k) ++place[(from[k].key >> shift) & mask];
    std::size_t at = 0;
    for (auto& p : place) at += std::exchange(p, at);
    for (std::size_t k = 0; k < n; ++k) {
      to[place[(from[k].key >> shift) & mask]++] = from[k];
    }
    std::swap(from, to);
  }
  if (from != rows) std::copy(from, from + n, rows);
  if (!large) return;
  // Each place is now the end of its bucket.
  std::size_t begin = 0;
  for (const std::size_t end : place) {
    SortPart(rows + begin, end - begin, spare, bits - kDigit);
    begin = end;
  }
}

}  // namespace vigitensor

#endif  // VIGITENSOR_EPISODES_SORT_H_
