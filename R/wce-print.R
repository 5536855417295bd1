# print() and summary() of a fitted model: at most 80 columns, no times, no
# addresses, nothing of a single person.

#' @rdname wce-methods
#' @param digits Significant digits of the coefficient table.
#' @export
print.wce <- function(x, digits = max(3L, getOption("digits") - 3L),
                      level = 0.95, ...) {
  print_header(x)
  covariates <- setdiff(seq_along(x$coefficients), exposure_indices(x))
  if (length(covariates)) {
    cat("\nCovariates\n")
    print_coefficients(coefficient_table(x)[covariates, , drop = FALSE], digits)
  }
  total <- total_effects(x, level)
  for (members in printed_terms(x)) {
    print_term(x, members, total, level)
  }
  cat("\n")
  print_choice(x)
  print_warnings(x)
  cat("Next: plot(fit), weight_function(fit), hazard_ratio(fit, profile).\n")
  invisible(x)
}

#' @rdname wce-methods
#' @export
print.summary.wce <- function(x, digits = max(3L, getOption("digits") - 3L),
                              ...) {
  print_header(x)
  # Those of a penalised spline mean nothing one by one.
  shown <- if (is.null(x$smoothing)) seq_len(nrow(x$coefficients)) else
    setdiff(seq_len(nrow(x$coefficients)), exposure_indices(x))
  if (length(shown)) {
    cat("\nCoefficients\n")
    print_coefficients(x$coefficients[shown, , drop = FALSE], digits)
  }
  for (members in printed_terms(x)) {
    print_term(x, members, x$total, x$level)
    # Columns of a surface say nothing one by one.
    if (length(members) > 1L) next
    print_weights(x$weights[[members]], x$unit, x$level)
  }
  if (NROW(x$selection) > 1L) {
    cat(if (several_cutoffs(x$selection)) "\nFits tried\n" else
      "\nKnots tried\n")
    print_selection(x$selection, x$criterion)
  }
  cat("\n")
  print_choice(x)
  print_warnings(x)
  cat(sprintf("Log-likelihood %.4f; likelihood ratio test %s on %s df, p %s\n",
              x$loglik[2L], format_ratio(x$logtest[["test"]], 4L),
              format_df(x$logtest[["df"]]), format_p(x$logtest[["pvalue"]])))
  invisible(x)
}

# ---- pieces ------------------------------------------------------------------

exposure_indices <- function(fit) {
  unlist(lapply(fit$exposures, `[[`, "index"))
}

format_p <- function(p) {
  text <- format.pval(p, digits = 2L, eps = 1e-16)
  if (startsWith(text, "<")) sub("<", "< ", text) else paste("=", text)
}

# Effective degrees of freedom have a fraction.
format_df <- function(df) {
  if (df == round(df)) format(round(df)) else sprintf("%.2f", df)
}

print_header <- function(x) {
  cat("Weighted cumulative exposure ", x$model$name %||% "Cox model", "\n",
      sep = "")
  cat_wrapped(paste(deparse(x$formula, width.cutoff = 500L), collapse = " "),
              indent = 2L, exdent = 4L)
  cat("\n")
  joined <- x$counts$joined_rows %||% x$n_rows
  cat_wrapped(
    count_of(x$n_subjects, "subject"), ", ", count_of(x$nevent, "event"), ", ",
    count_of(x$n_rows, "row"),
    if (joined < x$n_rows) sprintf(" (%s when joined)", format_count(joined)),
    ", ", if (is.null(x$model)) {
      paste(count_of(x$n_pairs, "exposed pair"), "of row and event time")
    } else count_of(x$n_pairs, x$model$rows)
  )
  strata <- length(x$meta$strata)
  clusters <- x$meta$clusters
  if (!is.null(clusters)) {
    cat_wrapped(
      "Robust standard errors: ",
      if (is.null(clusters$label)) count_of(clusters$n, "person", "people") else
        sprintf("%s of `%s`", count_of(clusters$n, "cluster"), clusters$label)
    )
  }
  cat(if (!is.null(x$ties)) paste0(tools::toTitleCase(x$ties), " ties, "),
      if (strata > 1L) sprintf("%s strata, ", format_count(strata)),
      if (!is.null(x$meta$weights)) sprintf("weights `%s`, ", x$meta$weights),
      "engine \"", x$engine, "\"\n", sep = "")
}

# Zero counts say nothing; every other one is a decision about somebody's data.
print_records <- function(exposure, counts) {
  if (!isTRUE(exposure$from_records) || is.null(counts)) return(invisible())
  words <- c(other_people = "of other people", outside_window =
               "outside every window", overlapping = "overlapping (added)")
  words <- words[unlist(counts[names(words)]) > 0]
  cat_wrapped(
    "Records: ", format_count(counts$used), " used of ",
    format_count(counts$given),
    if (length(words)) {
      paste0("; ", vapply(counts[names(words)], format_count, ""), " ", words,
             collapse = "")
    }, indent = 2L
  )
}

print_coefficients <- function(table, digits) {
  stats::printCoefmat(table, digits = digits, signif.stars = FALSE,
                      P.values = TRUE, has.Pvalue = TRUE, na.print = "NA")
}

# Numbers of the terms by what is printed together: those of a surface are one.
printed_terms <- function(x) {
  surface <- vapply(x$exposures, function(e) e$surface %||% NA_character_, "")
  first <- ifelse(is.na(surface), seq_along(surface), match(surface, surface))
  unname(split(seq_along(surface), first))
}

print_term <- function(x, members, total, level) {
  k <- members[1L]
  exposure <- x$exposures[[k]]
  exposure$label <- exposure$surface %||% exposure$label
  exposure$index <- unlist(lapply(x$exposures[members], `[[`, "index"))
  cat("\n")
  print_exposure(exposure, x$unit, x$smoothing$edf)
  print_records(exposure, x$counts$records[[k]])
  if (is.null(exposure$response)) {
    print_total(total[k, ], exposure, x$model$short, level)
  } else {
    cat_wrapped("Function of the dose: ", dose_form_label(exposure$response),
                "; its effect: dose_response(fit, doses)", indent = 2L,
                exdent = 4L)
  }
}

print_exposure <- function(exposure, unit, edf = NULL) {
  knots <- length(exposure$knots)
  # Knots are kept as positions in the window, which begins after lag_in.
  where <- if (knots) {
    sprintf(" (%s)", paste(format(exposure$knots + exposure$lag_in, digits = 3L,
                                  trim = TRUE), collapse = ", "))
  }
  cat_wrapped(
    exposure$label, ": lags ", format_count(exposure$lags[1L]), " to ",
    format_count(exposure$cutoff), " ", plural_unit(unit), ", ",
    if (identical(exposure$clock, "continuous")) "continuous time, ",
    if (!is.null(exposure$parts)) "penalised, ",
    describe_order(exposure$order), count_of(knots, "interior knot"),
    if (is.null(exposure$parts)) where,
    if (!is.null(edf)) {
      sprintf(", %.1f effective degrees of freedom", sum(edf[exposure$index]))
    },
    ", ", describe_constraint(exposure), describe_shape(exposure$shape),
    if (identical(exposure$basis, "WCE")) ", basis of the WCE package"
  )
}

print_total <- function(total, exposure, ratio, level) {
  if (is.na(total$log_hr)) {
    uncovered <- exposure$lags[!exposure$covered]
    cat_wrapped(
      "Dose 1 at all lags against none: not estimable, ",
      if (length(uncovered)) {
        paste0("no data at lags ", format_ranges(uncovered))
      } else "a spline coefficient was dropped as collinear",
      indent = 2L, exdent = 4L
    )
  } else {
    cat_wrapped(
      "Dose 1 at all lags against none: ",
      format_interval(total$hr, total$lower, total$upper, level,
                      ratio %||% "HR"),
      indent = 2L, exdent = 4L
    )
  }
}

print_weights <- function(weights, unit, level) {
  cat(sprintf("  Weight: log HR per unit of dose, by lag in %s, %s interval\n",
              plural_unit(unit), format_level(level)))
  shown <- as.data.frame(weights)
  shown <- shown[setdiff(names(shown), "term")]
  print(format_weights(shown), row.names = FALSE)
}

# One scale for all columns: a weight of 1e-12 beside 0.03 is a zero.
format_weights <- function(shown) {
  values <- intersect(c("weight", "se", "lower", "upper"), names(shown))
  size <- max(abs(unlist(shown[values])), 0, na.rm = TRUE)
  places <- if (size > 0) max(0, 2 - floor(log10(size))) else 2
  shown[values] <- lapply(shown[values], formatC, digits = places + 1,
                          format = "f")
  shown
}

print_selection <- function(selection, criterion) {
  hidden <- c("selected", if (!several_cutoffs(selection)) "cutoff")
  shown <- selection[setdiff(names(selection), hidden)]
  shown$df <- vapply(shown$df, format_df, "")
  numbers <- intersect(c("loglik", "aic", "bic"), names(shown))
  shown[numbers] <- lapply(shown[numbers], formatC, digits = 2L, format = "f")
  shown$" " <- ifelse(selection$selected, "<- this fit", "")
  print(shown, row.names = FALSE, right = TRUE)
}

several_cutoffs <- function(selection) {
  length(unique(selection$cutoff)) > 1L
}

# How this number of knots, and this cutoff, came to be.
print_choice <- function(x) {
  selection <- x$selection
  if (NROW(selection) < 2L) return(invisible())
  name <- toupper(x$criterion)
  best <- which.min(selection[[x$criterion]])
  this <- which(selection$selected)
  other <- setdiff(seq_len(nrow(selection)), this)[1L]
  cutoffs <- several_cutoffs(selection)
  words <- function(row) {
    paste0(knots_label(selection$nknots[row]),
           if (cutoffs) paste(" and cutoff", selection$cutoff[row]))
  }
  quoted <- function(value) {
    if (is.character(value)) dQuote(value, FALSE) else format(value)
  }
  cat_wrapped(
    if (identical(best, this)) {
      sprintf("%s chose %s among %s.", name, words(this),
              if (cutoffs) paste(nrow(selection), "fits") else
                format_list(selection$nknots))
    } else {
      sprintf("This fit has %s; %s prefers %s.", words(this), name,
              if (cutoffs) words(best) else selection$nknots[best])
    },
    sprintf(" Others: refit(fit, %s%s).", quoted(selection$nknots[other]),
            if (cutoffs) paste0(", ", quoted(selection$cutoff[other])) else "")
  )
}

# "1 knot"; several terms have one number each, "1+2 knots".
knots_label <- function(nknots) {
  if (is.character(nknots)) paste(nknots, "knots") else count_of(nknots, "knot")
}

print_warnings <- function(x) {
  if (isFALSE(x$converged)) {
    cat_wrapped("Warning: the fit did not converge in ",
                count_of(x$iter, "iteration"), ".")
  }
  if (any(x$active)) {
    cat_wrapped("The shape holds back the fit: ",
                count_of(sum(x$active), "inequality", "inequalities"),
                " of ", length(x$active), " active.")
  }
  if (any(x$infinite)) {
    labels <- names(x$coefficients) %||% rownames(x$coefficients)
    cat_wrapped("Warning: the likelihood still rises as these grow: ",
                format_list(labels[x$infinite]), ".")
  }
}
