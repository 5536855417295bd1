# The types of the columns of CSV files, which have none. Every value of a
# column is looked at, file by file.

# What the values of a column may all be, the narrowest first. Regular
# expressions of RE2; integers have no zeros in front, as codes do.
csv_words <- c(
  integer = "-?(0|[1-9][0-9]{0,17})",
  double = "[+-]?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-][0-9]+)?",
  logical = "TRUE|FALSE|true|false|True|False",
  date = "[0-9]{4}-[0-9]{2}-[0-9]{2}",
  datetime = paste0("[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}",
                    "(:[0-9]{2}([.][0-9]*)?)?"),
  moment = paste0("[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}",
                  "(:[0-9]{2}([.][0-9]*)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)")
)

csv_kinds <- function(handle, plan, quoted, hint, wanted) {
  # Codes and days in a format of their own are strings whatever they look like.
  text <- hint %in% "code" | plan$name %in% names(handle$dates)
  kind <- ifelse(text, "character", unname(wanted))
  open <- which(is.na(kind))
  if (!length(open)) return(kind)
  found <- csv_words_of(handle, quoted[open])
  files <- basename(handle$source$tables[[handle$table]])
  kind[open] <- vapply(seq_along(open), function(k) {
    one_csv_kind(found[[k]], plan$column[open[k]], files)
  }, "")
  narrow <- open[kind[open] == "integer"]
  values <- sprintf("TRY_CAST(%s AS BIGINT)", quoted[narrow])
  kind[narrow] <- range_kinds(handle, values)
  kind
}

# For each column a data frame with a row per file: `file` (its place) and, for
# each word, whether all values are of it; NA where there is no value.
csv_words_of <- function(handle, quoted) {
  src <- handle$source
  parts <- unlist(lapply(quoted, function(x) {
    sprintf("bool_and(regexp_full_match(%s, %s))", x,
            quote_text(src, csv_words))
  }))
  rows <- source_query(src, sprintf(
    "SELECT \"file of the row\" AS f, %s FROM %s GROUP BY 1 ORDER BY 1",
    paste(sprintf("%s AS a%d", parts, seq_along(parts)), collapse = ", "),
    handle_from(handle)
  ))
  file <- match(rows$f, src$tables[[handle$table]])
  lapply(seq_along(quoted), function(k) {
    at <- 1L + (k - 1L) * length(csv_words) + seq_along(csv_words)
    cbind(file = file, stats::setNames(as.data.frame(rows[at]),
                                       names(csv_words)))
  })
}

one_csv_kind <- function(found, column, files) {
  words <- names(csv_words)
  one <- apply(as.matrix(found[words]), 1L, function(row) {
    if (anyNA(row)) NA_character_ else c(words[row], "character")[1L]
  })
  there <- unique(one[!is.na(one)])
  if (!length(there)) return("logical")
  if (length(there) == 1L) return(there)
  if (all(there %in% c("integer", "double"))) return("double")
  first <- match(there, one)
  abort_source(
    sprintf("The type of column `%s` changes between files: %s.", column,
            some_of(sprintf("%s in %s", there, files[found$file[first]]), 3L)),
    i = read_as_strings(column),
    code = "types"
  )
}
