// Rows of (start, stop] data: grouping, checks and compression.
//
// All functions take rows in the order of `ord` (1-based permutation that sorts
// by subject, then start), or in their given order when `ord` is empty, and
// return row numbers of the user's own table (1-based). One pass, O(rows).

#include <Rcpp.h>

#include <vector>

namespace {

// Position -> row of the user's table.
class Order {
 public:
  explicit Order(const Rcpp::IntegerVector& ord)
      : ord_(ord.size() ? ord.begin() : nullptr) {}
  R_xlen_t operator()(R_xlen_t k) const { return ord_ ? ord_[k] - 1 : k; }

 private:
  const int* ord_;
};

template <typename T>
void mark_changes(const T* x, const Order& at, std::vector<char>* mark) {
  const R_xlen_t n = static_cast<R_xlen_t>(mark->size());
  for (R_xlen_t k = 1; k < n; ++k) {
    if (x[at(k)] != x[at(k - 1)]) (*mark)[k] = 1;
  }
}

// Same value means the same bits of the same type; R keeps one copy of each
// string, so comparing pointers compares strings of one encoding.
void mark_column_changes(SEXP column, const Order& at,
                         std::vector<char>* mark) {
  switch (TYPEOF(column)) {
    case LGLSXP:
      mark_changes(LOGICAL(column), at, mark);
      break;
    case INTSXP:
      mark_changes(INTEGER(column), at, mark);
      break;
    case REALSXP:
      mark_changes(REAL(column), at, mark);
      break;
    case STRSXP:
      mark_changes(STRING_PTR(column), at, mark);
      break;
    default:
      Rcpp::stop("unsupported column type");
  }
}

}  // namespace

// First row of every run of equal values: the subjects, if rows are grouped.
// [[Rcpp::export]]
Rcpp::IntegerVector run_starts(SEXP x) {
  const R_xlen_t n = Rf_xlength(x);
  std::vector<char> mark(n, 0);
  if (n > 0) mark[0] = 1;
  mark_column_changes(x, Order(Rcpp::IntegerVector(0)), &mark);
  R_xlen_t n_runs = 0;
  for (char m : mark) n_runs += m;
  Rcpp::IntegerVector first(n_runs);
  R_xlen_t run = 0;
  for (R_xlen_t k = 0; k < n; ++k) {
    if (mark[k]) first[run++] = static_cast<int>(k) + 1;
  }
  return first;
}

// TRUE if start never falls inside a subject.
// [[Rcpp::export]]
bool is_sorted_within(Rcpp::IntegerVector subject, Rcpp::NumericVector start) {
  const R_xlen_t n = subject.size();
  for (R_xlen_t k = 1; k < n; ++k) {
    if (subject[k] < subject[k - 1]) return false;
    if (subject[k] == subject[k - 1] && start[k] < start[k - 1]) return false;
  }
  return true;
}

// Rows that begin before an earlier row of the same subject has ended, rows
// that repeat the start of the row before, and rows that begin after a gap.
// [[Rcpp::export]]
Rcpp::List scan_rows(Rcpp::IntegerVector subject, Rcpp::NumericVector start,
                     Rcpp::NumericVector stop, Rcpp::IntegerVector ord) {
  const R_xlen_t n = subject.size();
  const Order at(ord);
  std::vector<int> overlap, repeat, gap;
  double latest = 0;
  for (R_xlen_t k = 0; k < n; ++k) {
    const R_xlen_t row = at(k);
    if (k == 0 || subject[row] != subject[at(k - 1)]) {
      latest = stop[row];
      continue;
    }
    const int number = static_cast<int>(row) + 1;
    if (start[row] == start[at(k - 1)]) {
      repeat.push_back(number);
    } else if (start[row] < latest) {
      overlap.push_back(number);
    } else if (start[row] > latest) {
      gap.push_back(number);
    }
    if (stop[row] > latest) latest = stop[row];
  }
  return Rcpp::List::create(Rcpp::Named("overlap") = overlap,
                            Rcpp::Named("repeat") = repeat,
                            Rcpp::Named("gap") = gap);
}

// Joins neighbouring rows of a subject that differ in nothing the model sees:
// a new row begins with a new subject, after a gap, after an event, or where
// one of `columns` changes.
//   subject, start, stop, event   one value per row
//   columns                       list of vectors, one value per row
// Value: first and last row of each joined row (1-based).
// [[Rcpp::export]]
Rcpp::List join_rows(Rcpp::IntegerVector subject, Rcpp::NumericVector start,
                     Rcpp::NumericVector stop, Rcpp::IntegerVector event,
                     Rcpp::List columns, Rcpp::IntegerVector ord) {
  const R_xlen_t n = subject.size();
  const Order at(ord);
  std::vector<char> mark(n, 0);
  if (n > 0) mark[0] = 1;
  mark_changes(subject.begin(), at, &mark);
  for (R_xlen_t k = 1; k < n; ++k) {
    const R_xlen_t before = at(k - 1);
    if (start[at(k)] != stop[before] || event[before] != 0) mark[k] = 1;
  }
  for (R_xlen_t c = 0; c < columns.size(); ++c) {
    mark_column_changes(columns[c], at, &mark);
  }
  R_xlen_t n_joined = 0;
  for (char m : mark) n_joined += m;
  Rcpp::IntegerVector first(n_joined), last(n_joined);
  R_xlen_t joined = -1;
  for (R_xlen_t k = 0; k < n; ++k) {
    const int number = static_cast<int>(at(k)) + 1;
    if (mark[k]) first[++joined] = number;
    last[joined] = number;
  }
  return Rcpp::List::create(Rcpp::Named("first") = first,
                            Rcpp::Named("last") = last);
}

// Records of the dose in unit rows: neighbouring rows of a subject with the
// same non-zero dose become one record (start, stop], dose per time unit.
// [[Rcpp::export]]
Rcpp::List join_doses(Rcpp::IntegerVector subject, Rcpp::NumericVector start,
                      Rcpp::NumericVector stop, Rcpp::NumericVector dose,
                      Rcpp::IntegerVector ord) {
  const R_xlen_t n = subject.size();
  const Order at(ord);
  std::vector<int> subject_r;
  std::vector<double> start_r, stop_r, dose_r;
  for (R_xlen_t k = 0; k < n; ++k) {
    const R_xlen_t row = at(k);
    if (dose[row] == 0) continue;
    if (!stop_r.empty() && subject_r.back() == subject[row] &&
        stop_r.back() == start[row] && dose_r.back() == dose[row]) {
      stop_r.back() = stop[row];
      continue;
    }
    subject_r.push_back(subject[row]);
    start_r.push_back(start[row]);
    stop_r.push_back(stop[row]);
    dose_r.push_back(dose[row]);
  }
  return Rcpp::List::create(
      Rcpp::Named("subject") = subject_r, Rcpp::Named("start") = start_r,
      Rcpp::Named("stop") = stop_r, Rcpp::Named("dose") = dose_r);
}

// How records meet the follow-up: per record 0 = can matter, 1 = over before
// any lag window of its subject opens, 2 = begins after the last follow-up.
// Also the number of records that overlap an earlier one of the same subject
// (records sorted by subject, then start).
// [[Rcpp::export]]
Rcpp::List scan_records(Rcpp::IntegerVector subject, Rcpp::NumericVector start,
                        Rcpp::NumericVector stop, Rcpp::NumericVector entry,
                        Rcpp::NumericVector exit, double cutoff,
                        Rcpp::IntegerVector ord) {
  const R_xlen_t n = subject.size();
  const Order at(ord);
  Rcpp::IntegerVector place(n);
  R_xlen_t n_overlapping = 0;
  double latest = 0;
  for (R_xlen_t k = 0; k < n; ++k) {
    const R_xlen_t r = at(k);
    const int s = subject[r] - 1;
    // The first possible event time is entry + 1; the oldest unit in its
    // window begins at entry + 1 - cutoff.
    if (stop[r] <= entry[s] + 1 - cutoff) {
      place[r] = 1;
    } else if (start[r] >= exit[s]) {
      place[r] = 2;
    }
    const bool same = k > 0 && subject[r] == subject[at(k - 1)];
    if (same && start[r] < latest) ++n_overlapping;
    latest = same && latest > stop[r] ? latest : stop[r];
  }
  return Rcpp::List::create(
      Rcpp::Named("place") = place,
      Rcpp::Named("n_overlapping") = static_cast<double>(n_overlapping));
}
