# The rules of check_claims(), in the order in which they are applied. Each has
# a reason, a fix (text), find(ctx) (see claims-check-find.R), and repair:
# "drop" (the rows found), a function of the column, or NULL.

claims_rule <- function(reason, fix, find, repair = NULL) {
  list(reason = reason, fix = fix, find = find, repair = repair)
}

claims_rules <- list(
  missing_column = claims_rule(
    "a required column is not there.", "Rename or add it; see claims_schema().",
    find_missing_columns
  ),
  wrong_type = claims_rule(
    "the column is of another type than the schema says.",
    "Convert it, as with as.Date() or as.numeric().", find_wrong_types
  ),
  mixed_time = claims_rule(
    "days are numbers here and dates elsewhere.", "Convert one of them.",
    find_mixed_time
  ),
  encoding = claims_rule(
    "strings are not UTF-8.", "\"encoding\" converts them from Latin-1.",
    find_encoding, to_utf8
  ),
  blanks = claims_rule(
    "there are blanks around the values.", "\"blanks\" removes them.",
    find_blanks, function(x) change_strings(x, trimws)
  ),
  id_precision = claims_rule(
    "numbers cannot hold these ids exactly.",
    "Read the column as strings or as 64-bit integers.", find_id_precision
  ),
  id_type = claims_rule(
    "ids are strings here and numbers elsewhere.", "Convert one of them.",
    find_id_types
  ),
  missing_values = claims_rule(
    "a required value is missing.", "\"missing_values\" drops the rows.",
    find_missing_values, "drop"
  ),
  time_zone = claims_rule(
    "these are date-times; the rows have another day in UTC.",
    "\"time_zone\" makes them dates, in their own time zone.",
    find_time_zones, local_date
  ),
  fractional_days = claims_rule(
    "days are not whole.", "\"fractional_days\" rounds down.", find_fractions,
    whole_days
  ),
  impossible_dates = claims_rule(
    "dates are outside the possible days.",
    "\"impossible_dates\" drops the rows.", find_impossible_dates, "drop"
  ),
  end_before_start = claims_rule(
    "the end comes before the start.", "\"end_before_start\" drops the rows.",
    find_end_before_start, "drop"
  ),
  duplicate_person = claims_rule(
    "a person has several rows that differ.",
    "Decide which one is right, and keep it.", find_duplicate_people
  ),
  duplicates = claims_rule(
    "rows repeat an earlier one in all columns.",
    "\"duplicates\" drops the repeats.", function(ctx) {
      over_tables(ctx, names(ctx$tables), function(name) {
        which(duplicated_rows(ctx$tables[[name]], function(column) {
          coded_column(ctx, name, column)$code
        }))
      })
    }, "drop"
  ),
  reversals = claims_rule(
    "negative quantities and the dispensings that they cancel.",
    "\"reversals\" drops both.", function(ctx) {
      finding("dispensings", "quantity", match_reversals(ctx)$pairs)
    }, "drop"
  ),
  reversals_alone = claims_rule(
    "negative quantities that cancel no dispensing.",
    "\"reversals_alone\" drops the rows.", function(ctx) {
      finding("dispensings", "quantity", match_reversals(ctx)$alone)
    }, "drop"
  ),
  no_supply = claims_rule(
    "nothing was supplied.", "\"no_supply\" drops the rows.", find_no_supply,
    "drop"
  ),
  unknown_person = claims_rule(
    "people are not in `people`.", "\"unknown_person\" drops the rows.",
    find_unknown_people, "drop"
  ),
  unknown_code = claims_rule(
    "codes are not among the known ones.",
    "\"unknown_code\" drops the rows.", find_unknown_codes, "drop"
  ),
  before_birth = claims_rule(
    "before the person was born.", "\"before_birth\" drops the rows.",
    find_before_birth, "drop"
  ),
  after_death = claims_rule(
    "after the person's death.", "\"after_death\" drops the rows.",
    find_after_death, "drop"
  ),
  outside_coverage = claims_rule(
    "on days without coverage.", "\"outside_coverage\" drops the rows.",
    find_outside_coverage, "drop"
  )
)
