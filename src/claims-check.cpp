// What check_claims() does to every row: rows that repeat an earlier one,
// dispensings that were taken back, days outside coverage. All linear.

#include <Rcpp.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// A column as bits that are equal where R calls the values equal.
class Bits {
 public:
  // exact: doubles are compared as bits (64-bit integers are kept in them).
  Bits(SEXP x, bool exact) : exact_(exact) {
    if (TYPEOF(x) == INTSXP) i_ = INTEGER(x);
    if (TYPEOF(x) == LGLSXP) i_ = LOGICAL(x);
    if (TYPEOF(x) == REALSXP) d_ = REAL(x);
    if (i_ == nullptr && d_ == nullptr) Rcpp::stop("unsupported column type");
  }
  std::uint64_t operator[](std::size_t k) const {
    if (i_ != nullptr) return static_cast<std::uint32_t>(i_[k]);
    double x = d_[k];
    if (!exact_) {
      if (x == 0) x = 0;  // -0 too
      if (x != x) return R_IsNA(x) ? ~std::uint64_t{0} : ~std::uint64_t{1};
    }
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
  }

 private:
  bool exact_;
  const int* i_ = nullptr;
  const double* d_ = nullptr;
};

// Finalizer of splitmix64 (Steele, Lea and Flood 2014).
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

struct Slot {
  std::uint32_t row;   // from 1; 0: empty
  std::uint32_t high;  // bits of the hash
};

}  // namespace

// TRUE where a row is equal to an earlier one in all columns: integers, logical
// values and doubles. exact: for each column, are doubles compared as bits?
// A table of hashes with open addressing; rows whose hashes are equal are
// compared. Rows are looked up some behind one another, so that memory has
// time.
// [[Rcpp::export]]
Rcpp::LogicalVector repeated_rows_cpp(Rcpp::List columns,
                                      Rcpp::LogicalVector exact) {
  std::vector<Bits> x;
  for (R_xlen_t c = 0; c < columns.size(); ++c) {
    x.emplace_back(columns[c], exact[c] != 0);
  }
  const std::size_t n = columns.size() ? Rf_xlength(columns[0]) : 0;
  Rcpp::LogicalVector repeats(n);
  std::size_t size = 16;
  while (size < n + n / 2) size *= 2;
  std::vector<Slot> table(size, Slot{0, 0});
  auto same = [&](std::size_t a, std::size_t b) {
    for (const Bits& column : x) {
      if (column[a] != column[b]) return false;
    }
    return true;
  };
  constexpr std::size_t kTogether = 32;
  std::uint64_t hash[kTogether];
  for (std::size_t from = 0; from < n; from += kTogether) {
    const std::size_t to = from + kTogether < n ? from + kTogether : n;
    for (std::size_t k = from; k < to; ++k) {
      std::uint64_t h = 0;
      for (const Bits& column : x) {
        h = Mix(h + 0x9e3779b97f4a7c15ULL + column[k]);
      }
      hash[k - from] = h;
#if defined(__GNUC__) || defined(__clang__)
      __builtin_prefetch(&table[h & (size - 1)], 1);
#endif
    }
    for (std::size_t k = from; k < to; ++k) {
      const std::uint64_t h = hash[k - from];
      const auto high = static_cast<std::uint32_t>(h >> 32);
      std::size_t at = h & (size - 1);
      while (table[at].row != 0 &&
             !(table[at].high == high && same(table[at].row - 1, k))) {
        at = (at + 1) & (size - 1);
      }
      if (table[at].row != 0) {
        repeats[k] = TRUE;
      } else {
        table[at] = Slot{static_cast<std::uint32_t>(k + 1), high};
      }
    }
    if (from % (std::size_t{1} << 22) == 0) Rcpp::checkUserInterrupt();
  }
  return repeats;
}

// The place of each value among the different ones, from 1, in order of
// appearance. Value: list(row = the first row of each, code).
// [[Rcpp::export]]
Rcpp::List code_values_cpp(SEXP x) {
  const Bits column(x, false);
  const auto n = static_cast<std::size_t>(Rf_xlength(x));
  Rcpp::IntegerVector code(n);
  std::vector<int> first;
  // The table grows with the number of different values.
  std::vector<Slot> table(1024, Slot{0, 0});
  for (std::size_t k = 0; k < n; ++k) {
    const std::uint64_t bits = column[k];
    const std::uint64_t h = Mix(bits + 0x9e3779b97f4a7c15ULL);
    const auto high = static_cast<std::uint32_t>(h >> 32);
    std::size_t at = h & (table.size() - 1);
    while (table[at].row != 0 &&
           !(table[at].high == high &&
             column[first[table[at].row - 1] - 1] == bits)) {
      at = (at + 1) & (table.size() - 1);
    }
    if (table[at].row == 0) {
      first.push_back(static_cast<int>(k) + 1);
      table[at] = Slot{static_cast<std::uint32_t>(first.size()), high};
    }
    code[k] = static_cast<int>(table[at].row);
    if (2 * first.size() > table.size()) {
      std::vector<Slot> larger(4 * table.size(), Slot{0, 0});
      for (const Slot& slot : table) {
        if (slot.row == 0) continue;
        const std::uint64_t again =
            Mix(column[first[slot.row - 1] - 1] + 0x9e3779b97f4a7c15ULL);
        std::size_t to = again & (larger.size() - 1);
        while (larger[to].row != 0) to = (to + 1) & (larger.size() - 1);
        larger[to] = slot;
      }
      table.swap(larger);
    }
  }
  return Rcpp::List::create(Rcpp::_["row"] = first, Rcpp::_["code"] = code);
}

// Brackets: each reversal closes the last dispensing of its key that is still
// open. Rows are sorted by key, then by time.
// Value: the row (from 1) that each row goes with, 0 for none.
// [[Rcpp::export]]
Rcpp::IntegerVector cancelled_rows_cpp(Rcpp::NumericVector key,
                                       Rcpp::LogicalVector is_reversal) {
  const R_xlen_t n = key.size();
  Rcpp::IntegerVector partner(n);
  std::vector<int> open;
  for (R_xlen_t k = 0; k < n; ++k) {
    if (k == 0 || key[k] != key[k - 1]) open.clear();
    const int row = static_cast<int>(k) + 1;
    if (!is_reversal[k]) {
      open.push_back(row);
    } else if (!open.empty()) {
      partner[k] = open.back();
      partner[open.back() - 1] = row;
      open.pop_back();
    }
  }
  return partner;
}

// Rows (from 1) whose day D, which is (D, D + 1], lies in no interval of their
// code; rows without a day are left out. Intervals are disjoint and sorted by
// code, from 1, and start.
// [[Rcpp::export]]
Rcpp::IntegerVector days_outside_cpp(Rcpp::IntegerVector code,
                                     Rcpp::NumericVector day,
                                     Rcpp::IntegerVector interval_code,
                                     Rcpp::NumericVector start,
                                     Rcpp::NumericVector stop) {
  const R_xlen_t n_intervals = interval_code.size();
  const int largest = n_intervals ? interval_code[n_intervals - 1] : 0;
  std::vector<R_xlen_t> first(static_cast<std::size_t>(largest) + 2, 0);
  for (R_xlen_t k = 0; k < n_intervals; ++k) ++first[interval_code[k] + 1];
  for (std::size_t c = 1; c < first.size(); ++c) first[c] += first[c - 1];
  std::vector<int> outside;
  for (R_xlen_t k = 0; k < code.size(); ++k) {
    if (ISNAN(day[k])) continue;
    const int c = code[k];
    bool inside = false;
    if (c != NA_INTEGER && c <= largest) {
      for (R_xlen_t i = first[c]; i < first[c + 1] && start[i] <= day[k]; ++i) {
        inside = inside || day[k] < stop[i];
      }
    }
    if (!inside) outside.push_back(static_cast<int>(k) + 1);
  }
  return Rcpp::wrap(outside);
}
