# Prints of weight functions and hazard ratios, of fits and of bootstraps.

#' @export
print.weight_function <- function(x, n = 10L, ...) {
  unit <- attr(x, "unit")
  cat("Weight function",
      if (!is.null(unit)) paste0(", lags in ", plural_unit(unit)),
      if (!is.null(attr(x, "level"))) {
        paste0(", ", format_level(attr(x, "level")), " ",
               attr(x, "band") %||% "pointwise", " band")
      }, describe_replicates(x), "\n", sep = "")
  shown <- format_weights(utils::head(as.data.frame(x), n))
  print.data.frame(shown, row.names = FALSE, ...)
  if (nrow(x) > n) {
    cat("# ", count_of(nrow(x) - n, "more row"), "\n", sep = "")
  }
  invisible(x)
}

#' @export
print.hazard_ratio <- function(x, ...) {
  term <- attr(x, "term")
  level <- attr(x, "level")
  measure <- attr(x, "measure") %||% "hazard ratio"
  cat(sub("^(.)", "\\U\\1", measure, perl = TRUE), if (nrow(x) != 1L) "s",
      if (!is.null(term)) paste0(" of ", term),
      if (!is.null(level)) paste0(", ", format_level(level), " interval"),
      describe_replicates(x), "\n", sep = "")
  shown <- as.data.frame(x)
  class(shown) <- "data.frame"
  ratios <- intersect(c("hr", "lower", "upper"), names(shown))
  shown[ratios] <- lapply(shown[ratios], format_ratio)
  print(shown, digits = 3L, row.names = FALSE, ...)
  invisible(x)
}

# What a bootstrap adds to the first line of a print.
describe_replicates <- function(x) {
  n <- attr(x, "replicates")
  if (is.null(n)) return("")
  kind <- if (identical(attr(x, "band"), "simultaneous")) "bootstrap" else
    c(percentile = "percentiles", bca = "BCa",
      normal = "normal")[[attr(x, "type")]]
  paste0(" (", kind, ", ", count_of(n, "replicate"), ")")
}
