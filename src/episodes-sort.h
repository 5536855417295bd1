// Sorting of dispensings by person, class and date.
#ifndef VIGITENSOR_EPISODES_SORT_H_
#define VIGITENSOR_EPISODES_SORT_H_

#include <Rcpp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>
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
#if defined(__GNUC__) || defined(__clang__)
  void Prefetch(std::size_t k) const {
    if (i) {
      __builtin_prefetch(i + k * step);
    } else {
      __builtin_prefetch(d + k * step);
    }
  }
#endif
  double operator[](std::size_t k) const {
    return i ? i[k * step] : d[k * step];
  }
};

inline int BitsFor(std::uint64_t largest) {
  int bits = 0;
  while (bits < 64 && (largest >> bits) != 0) ++bits;
  return bits;
}

struct Keys {
  std::vector<std::uint64_t> key;  // person, class, date, from the high bits on
  std::vector<std::uint32_t> row;
  int date_bits = 0, class_bits = 0;
  std::int64_t first_date = 0, first_person = 0;
  std::uint64_t group(std::size_t k) const { return key[k] >> date_bits; }
  double date(std::size_t k) const {
    const std::uint64_t mask = (std::uint64_t{1} << date_bits) - 1;
    return static_cast<double>(static_cast<std::int64_t>(key[k] & mask) +
                               first_date);
  }
  int person(std::size_t k) const {
    return static_cast<int>(
        static_cast<std::int64_t>(key[k] >> (date_bits + class_bits)) +
        first_person);
  }
};

// Runs work(t) for t in 0..n_threads - 1, the first on this thread. `work` must
// not throw and not call R.
template <class Work>
void InThreads(int n_threads, Work work) {
  std::vector<std::thread> threads;
  for (int t = 1; t < n_threads; ++t) threads.emplace_back(work, t);
  work(0);
  for (auto& thread : threads) thread.join();
}

// Least significant digit first, 11 bits at a time. Each thread counts and
// moves a slice of its own; as slices keep their order within a digit, the
// order of equal keys is that of the input, for any number of threads.
inline void RadixSort(Keys* keys, int n_bits, int n_threads) {
  constexpr int kDigit = 11;
  constexpr std::size_t kBuckets = std::size_t{1} << kDigit;
  const std::size_t n = keys->key.size();
  std::vector<std::uint64_t> key(n);
  std::vector<std::uint32_t> row(n);
  std::vector<std::size_t> count(kBuckets * n_threads);
  for (int shift = 0; shift < n_bits; shift += kDigit) {
    std::fill(count.begin(), count.end(), 0);
    const std::uint64_t* from = keys->key.data();
    const std::uint32_t* from_row = keys->row.data();
    auto slice = [n, n_threads](int t) { return n * t / n_threads; };
    auto digit = [shift](std::uint64_t k) {
      return (k >> shift) & (kBuckets - 1);
    };
    InThreads(n_threads, [&](int t) {
      std::size_t* mine = count.data() + kBuckets * t;
      for (std::size_t k = slice(t); k < slice(t + 1); ++k) {
        ++mine[digit(from[k])];
      }
    });
    std::size_t place = 0;
    bool one_digit = false;
    for (std::size_t d = 0; d < kBuckets; ++d) {
      const std::size_t before = place;
      for (int t = 0; t < n_threads; ++t) {
        const std::size_t size = count[kBuckets * t + d];
        count[kBuckets * t + d] = place;
        place += size;
      }
      if (place - before == n) one_digit = true;
    }
    if (one_digit) continue;
    InThreads(n_threads, [&](int t) {
      std::size_t* mine = count.data() + kBuckets * t;
      for (std::size_t k = slice(t); k < slice(t + 1); ++k) {
        const std::size_t to = mine[digit(from[k])]++;
        key[to] = from[k];
        row[to] = from_row[k];
      }
    });
    keys->key.swap(key);
    keys->row.swap(row);
    Rcpp::checkUserInterrupt();
  }
}

inline Keys SortDispensings(const int* person, const int* group,
                            const Column& date, std::size_t n, int n_threads) {
  Keys keys;
  std::int64_t last_date = 0, last_person = 0, last_group = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const auto day = static_cast<std::int64_t>(date[k]);
    if (k == 0 || day < keys.first_date) keys.first_date = day;
    if (k == 0 || day > last_date) last_date = day;
    if (k == 0 || person[k] < keys.first_person) keys.first_person = person[k];
    if (k == 0 || person[k] > last_person) last_person = person[k];
    if (group && group[k] > last_group) last_group = group[k];
  }
  keys.date_bits = BitsFor(last_date - keys.first_date);
  keys.class_bits = BitsFor(last_group);
  const int person_bits = BitsFor(last_person - keys.first_person);
  const int n_bits = keys.date_bits + keys.class_bits + person_bits;
  if (n_bits > 63) Rcpp::stop("people, classes and dates exceed 63 bits");
  keys.key.resize(n);
  keys.row.resize(n);
  bool sorted = true;
  for (std::size_t k = 0; k < n; ++k) {
    std::uint64_t key = person[k] - keys.first_person;
    key = (key << keys.class_bits) | (group ? group[k] : 0);
    key = (key << keys.date_bits) |
          (static_cast<std::int64_t>(date[k]) - keys.first_date);
    keys.key[k] = key;
    keys.row[k] = static_cast<std::uint32_t>(k);
    if (k > 0 && key < keys.key[k - 1]) sorted = false;
  }
  if (!sorted) RadixSort(&keys, n_bits, n < 10000 ? 1 : n_threads);
  return keys;
}

}  // namespace vigitensor

#endif  // VIGITENSOR_EPISODES_SORT_H_
