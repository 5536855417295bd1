# exposure() terms made of other records than a drug's own: its doses taken
# together with another drug, and the first of them.
#
# At a time unit x with doses a(x) of one drug and b(x) of another the joint
# dose is a(x) b(x) or, `within` r units, a(x) if b was above 0 somewhere in
# x - r..x. Both are again sums of records: every record of the one is cut to
# its overlap with every record of the other, as sums multiply out.

# Settings of `with`, `within` and `first`; dose: of read_dose().
check_joint <- function(s, dose) {
  if (is.null(s[["with"]]) && is.null(s$first)) {
    if (is.null(s$within)) return(invisible())
    abort_joint(s, "`within` goes with `with`, the other drug.", "within")
  }
  if (!is.character(dose)) {
    abort_joint(s, "`with` and `first` are of drugs of `records`.", "with",
                i = "Of columns of doses: `exposure(dose_a * dose_b)`.")
  }
  if (!is.null(s$response)) {
    abort_joint(s, "`dose` does not go with `with` or `first`.", "dose",
                i = "Change the doses of the records.")
  }
  if (!is.null(s[["with"]]) && !rlang::is_string(s[["with"]])) {
    abort_joint(s, "`with` must be one drug of `records`.", "with",
                x = sprintf("It is %s.", what_is(s[["with"]])))
  }
  if (!is.null(s$within)) check_number(s$within, "within", 0)
  if (is.null(s$first)) return(invisible())
  if (!rlang::is_bool(s$first)) {
    abort_joint(s, "`first` must be TRUE or FALSE.", "first")
  }
  if (s$clock == "continuous") {
    abort_joint(s, "`first` is of the unit clock.", "first",
                i = "Round times to whole units.")
  }
}

abort_joint <- function(s, message, arg, ...) {
  abort_input(sprintf("In `%s`: %s", s$label, message), ..., arg = arg,
              code = "joint_exposure")
}

# records: of drug_records(). Value: those that the term is made of.
joint_records <- function(s, records, book) {
  if (isTRUE(s$first)) records <- first_records(records)
  if (is.null(s[["with"]])) return(records)
  other <- drug_records(s, s[["with"]], book)
  if (!is.null(s$within)) other <- times_of_use(other, s$within)
  pairs <- overlapping_pairs(records, other)
  kept <- c("given", "other_people")
  c(list(subject = records$subject[pairs$one], start = pairs$start,
         stop = pairs$stop,
         dose = records$dose[pairs$one] * other$dose[pairs$two],
         row = records$row[pairs$one]), records[kept])
}

# One unit of dose 1 at the beginning of the first record with a dose: its
# weight at lag u is the effect at u units since the first use.
first_records <- function(records) {
  own <- c("subject", "start", "stop", "dose", "row")
  taken <- lapply(records[own], `[`, records$dose > 0)
  sorted <- order(taken$subject, taken$start, method = "radix")
  first <- sorted[!duplicated(taken$subject[sorted])]
  taken <- lapply(taken, `[`, first)
  taken$stop <- taken$start + 1
  taken$dose <- rep(1, length(first))
  c(taken, records[c("given", "other_people")])
}

# Spells of use, `within` units longer, of dose 1.
times_of_use <- function(records, within) {
  used <- records$dose > 0
  spans <- joined_spans(data.frame(row = records$subject[used],
                                   from = records$start[used],
                                   to = records$stop[used] + within))
  list(subject = spans$row, start = spans$from, stop = spans$to,
       dose = rep(1, length(spans$row)))
}

# Where records of `one` and of `two` of the same subject overlap.
overlapping_pairs <- function(one, two) {
  book <- records_of(two, max(one$subject, two$subject, 0L))
  parts <- lapply(row_blocks(book$n[one$subject]), function(rows) {
    pair <- pairs_with_records(rows, one$subject, book)
    start <- pmax(one$start[pair$row], two$start[pair$record])
    stop <- pmin(one$stop[pair$row], two$stop[pair$record])
    near <- stop > start
    data.frame(one = pair$row[near], two = pair$record[near],
               start = start[near], stop = stop[near])
  })
  none <- data.frame(one = integer(), two = integer(), start = numeric(),
                     stop = numeric())
  do.call(rbind, c(list(none), parts))
}
