# Numbers, counts and lags as text, for prints and messages. Nothing here
# depends on a locale or on the width of the terminal.

# 7109 -> "7,109"
format_count <- function(n) {
  format(n, big.mark = ",", trim = TRUE, scientific = FALSE)
}

# 1, "event" -> "1 event"; 2, "event" -> "2 events"
count_of <- function(n, noun, plural = paste0(noun, "s")) {
  paste(format_count(n), if (isTRUE(n == 1)) noun else plural)
}

# Three significant digits, keeping the zeros: 2.5 -> "2.50", 12345 -> "12345"
format_ratio <- function(x, digits = 3L) {
  vapply(x, function(one) {
    if (is.na(one)) return("NA")
    if (!is.finite(one)) return(if (one > 0) "Inf" else "-Inf")
    if (abs(one) >= 1e6) return(formatC(one, digits = digits, format = "g"))
    size <- if (one == 0) 0 else floor(log10(abs(signif(one, digits))))
    if (size < -4) return(formatC(one, digits = digits, format = "g"))
    formatC(one, digits = max(0, digits - 1 - size), format = "f")
  }, "", USE.NAMES = FALSE)
}

# 0.95 -> "95%"
format_level <- function(level) paste0(format(100 * level, digits = 4), "%")

# HR 2.50 (95% CI 1.79 to 3.48)
format_interval <- function(estimate, lower, upper, level, name = "HR") {
  sprintf("%s %s (%s CI %s to %s)", name, format_ratio(estimate),
          format_level(level), format_ratio(lower), format_ratio(upper))
}

# c(3, 7, 8, 9) -> "3, 7 to 9"
format_ranges <- function(lags, most = 4L) {
  lags <- sort(unique(lags))
  run <- cumsum(c(TRUE, diff(lags) != 1))
  ranges <- vapply(split(lags, run), function(r) {
    if (length(r) == 1L) format_count(r) else {
      paste(format_count(r[1L]), "to", format_count(r[length(r)]))
    }
  }, "")
  if (length(ranges) > most) ranges <- c(ranges[seq_len(most)], "...")
  paste(ranges, collapse = ", ")
}

# c("a", "b", "c") -> "a, b and c"
format_list <- function(x, last = "and") {
  n <- length(x)
  if (n < 2L) return(paste(x, collapse = ""))
  paste(paste(x[-n], collapse = ", "), last, x[n])
}

# Lines of at most 80 columns, printed; `exdent` indents what follows.
cat_wrapped <- function(..., indent = 0L, exdent = indent + 2L) {
  text <- paste0(...)
  cat(strwrap(text, width = 80L, indent = indent, exdent = exdent), sep = "\n")
}
