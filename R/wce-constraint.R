# What is imposed on the weight function: zero value, or zero value and slope,
# at either end.
#
# Of a clamped B-spline basis only the first column has a value at the first lag
# and only the first two have a slope there; likewise at the last. Leaving out
# one column makes the value exactly zero, leaving out two the slope as well.

# Columns to leave out, by what an end must be.
end_columns <- c(free = 0L, value = 1L, slope = 2L)

# constrained: as users write it. Value: c(left =, right =), each one of the
# names of end_columns.
constraint_ends <- function(constrained) {
  ends <- c(left = "free", right = "free")
  if (isFALSE(constrained)) return(ends)
  if (is.null(names(constrained)) && rlang::is_string(constrained)) {
    side <- switch(tolower(constrained), right = , r = "right",
                   left = , l = "left", both = c("left", "right"))
    if (is.null(side)) stop_constrained(constrained)
    ends[side] <- "slope"
    return(ends)
  }
  given <- as.list(constrained)
  known <- is.vector(constrained) && length(given) > 0L &&
    all(names(given) %in% names(ends)) && !anyDuplicated(names(given)) &&
    all(vapply(given, function(x) {
      isFALSE(x) || rlang::is_string(x) && x %in% names(end_columns)
    }, NA))
  if (!known) stop_constrained(constrained)
  ends[names(given)] <- vapply(given, function(x) {
    if (isFALSE(x)) "free" else x
  }, "")
  ends
}

stop_constrained <- function(x) {
  abort_input(
    paste("`constrained` must be FALSE, \"right\", \"left\", \"both\", or name",
          "the ends, as c(right = \"value\", left = \"slope\")."),
    x = sprintf("It is %s.",
                if (rlang::is_string(x)) dQuote(unname(x), FALSE) else
                  what_is(x)),
    i = paste("\"right\" brings value and slope of the weight to zero at the",
              "oldest lag; \"value\" the value alone."),
    arg = "constrained", code = "constrained"
  )
}

# The shortest way to say it: FALSE, "right", "left", "both", or the ends that
# are not free.
constraint_word <- function(ends) {
  if (all(ends == "free")) return(FALSE)
  slope <- names(ends)[ends == "slope"]
  if (any(ends == "value")) return(ends[ends != "free"])
  if (length(slope) == 2L) "both" else slope
}

# A constraint as the engines' two bases have it: FALSE, "right" or "left".
check_constrained <- function(x) {
  word <- constraint_word(constraint_ends(x))
  if (isFALSE(word) || identical(word, "right") || identical(word, "left")) {
    return(word)
  }
  abort_input(
    "`constrained` must be FALSE, \"right\" or \"left\" here.",
    i = "`wce()` has constraints at both ends, and on the value alone.",
    arg = "constrained", code = "constrained"
  )
}

# Positions of the columns that a constraint leaves, of n.
constrained_columns <- function(n, ends, order = 4L) {
  # A constant piece that is zero at the end has no slope there either.
  drop <- pmin(end_columns[ends], order)
  from <- 1L + drop[[1L]]
  to <- n - drop[[2L]]
  if (from <= to) from:to else integer()
}

# Words for prints.
describe_constraint <- function(exposure) {
  ends <- constraint_ends(exposure$constrained)
  at <- format_count(c(exposure$lags[1L], exposure$lags[length(exposure$lags)]))
  if (all(ends == "free")) return("no constraint")
  zero <- if (identical(exposure$basis, "WCE")) "nearly zero" else "zero"
  words <- c(
    if (all(ends == "slope")) {
      sprintf("%s at lags %s and %s", zero, at[1L], at[2L])
    } else {
      sprintf("%s at lag %s", zero, at[ends == "slope"])
    },
    if (any(ends == "value")) {
      sprintf("zero with a free slope at lag %s", at[ends == "value"])
    }
  )
  format_list(words)
}

order_words <- c("step function", "linear spline", "quadratic spline",
                 "cubic spline")

# "cubic" is what everybody expects and needs no word.
describe_order <- function(order) {
  if (is.null(order) || order == 4L) return("")
  word <- if (order <= 4L) order_words[order] else
    sprintf("spline of order %d", order)
  paste0(word, ", ")
}
