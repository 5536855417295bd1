# ggplots of checks, influence, courses and survival curves.

# Methods of a generic that is not imported, for classes with an underscore.
# nolint start: object_name_linter.

#' @rdname course_effect
#' @exportS3Method ggplot2::autoplot
autoplot.course_effect <- function(object, log = TRUE, ...) {
  need_ggplot2()
  labels <- unique(object$course)
  panels <- c("Hazard ratio", "Dose")
  form <- if (log) log10 else identity
  ratio <- data.frame(object[c("course", "time")], panel = panels[1L],
                      lapply(object[c("hr", "lower", "upper")], form))
  names(ratio)[4L] <- "value"
  # Facets share one scale: doses are put far above all hazard ratios, and drawn
  # less high.
  height <- 0.4 * diff(range(form(1), ratio$lower, ratio$upper, na.rm = TRUE)) /
    max(object$dose)
  dose <- data.frame(object[c("course", "time")], panel = panels[2L],
                     value = far_away + height * object$dose, lower = NA,
                     upper = NA)
  both <- rbind(ratio, dose)
  both$course <- factor(both$course, levels = labels)
  both$panel <- factor(both$panel, levels = panels)
  ratios <- both$panel == panels[1L]
  at_one <- data.frame(panel = factor(panels[1L], panels), value = form(1))
  ggplot2::ggplot(both, ggplot2::aes(.data$time, .data$value,
                                     colour = .data$course)) +
    ggplot2::geom_hline(ggplot2::aes(yintercept = .data$value), data = at_one,
                        linetype = 2L, colour = wce_colours[["zero"]]) +
    ggplot2::geom_ribbon(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper,
                   fill = .data$course), alpha = 0.16, colour = NA,
      data = both[ratios, ], na.rm = TRUE
    ) +
    ggplot2::geom_line(linewidth = 1, data = both[ratios, ]) +
    ggplot2::geom_step(linewidth = 0.8, direction = "vh",
                       data = both[!ratios, ]) +
    ggplot2::facet_grid(ggplot2::vars(.data$panel), scales = "free_y",
                        space = "free_y", switch = "y") +
    course_scale(log, height) + gg_colours(labels) +
    ggplot2::labs(x = time_label(attr(object, "unit"), "the first dose")) +
    gg_theme() +
    ggplot2::theme(
      strip.placement = "outside",
      strip.text.y.left = ggplot2::element_text(hjust = 0.5, angle = 90),
      legend.position = if (length(labels) > 1L) "top" else "none"
    )
}

far_away <- 1e4

# Round hazard ratios below, round doses far away.
course_scale <- function(log, height) {
  is_dose <- function(x) min(x, na.rm = TRUE) > far_away / 2
  ggplot2::scale_y_continuous(
    NULL,
    breaks = function(limits) {
      if (is_dose(limits)) {
        return(far_away + height *
                 pretty((limits - far_away) / height, n = 2L))
      }
      if (!log) return(pretty(limits))
      log10(grDevices::axisTicks(limits, log = TRUE, nint = 5L))
    },
    labels = function(x) {
      value <- if (is_dose(x)) (x - far_away) / height else if (log) 10^x else x
      format(signif(value, 4L), trim = TRUE, drop0trailing = TRUE)
    }
  )
}

#' @rdname plot.ph_check
#' @exportS3Method ggplot2::autoplot
autoplot.ph_check <- function(object, which = c("effect", "weight"), var = NULL,
                              resid = TRUE, df = 4, ...) {
  need_ggplot2()
  which <- check_word(which, c("effect", "weight"), "which")
  drawn <- check_data(object, which, var, df)
  drawn$term <- factor(drawn$term, levels = unique(drawn$term))
  facet <- ggplot2::facet_wrap(ggplot2::vars(.data$term), scales = "free")
  if (which == "weight") {
    labels <- early_late_labels(drawn, object$unit)
    drawn$when <- factor(drawn$when, unique(drawn$when), labels)
    return(
      ggplot2::ggplot(drawn, ggplot2::aes(.data$lag, .data$weight,
                                          colour = .data$when)) +
        gg_zero() +
        ggplot2::geom_ribbon(
          ggplot2::aes(ymin = .data$lower, ymax = .data$upper,
                       fill = .data$when), alpha = 0.15, colour = NA,
          na.rm = TRUE
        ) +
        ggplot2::geom_line(linewidth = 1, na.rm = TRUE) + facet +
        gg_colours(labels) +
        ggplot2::labs(x = lag_label(object$unit), y = weight_label) +
        gg_theme()
    )
  }
  levels <- stats::aggregate(residual ~ term, drawn, mean)
  bounds <- do.call(rbind, lapply(split(drawn, drawn$term), function(one) {
    limits <- range(stats::quantile(one$residual, c(0.02, 0.98)), one$lower,
                    one$upper)
    one[one$residual >= limits[1L] & one$residual <= limits[2L], ]
  }))
  ggplot2::ggplot(drawn, ggplot2::aes(.data$time, .data$effect)) +
    (if (resid) {
      ggplot2::geom_point(ggplot2::aes(y = .data$residual), size = 0.8,
                          colour = wce_colours[["grey"]], alpha = 0.6,
                          data = bounds)
    }) +
    ggplot2::geom_hline(ggplot2::aes(yintercept = .data$residual),
                        data = levels, linetype = 2L,
                        colour = wce_colours[["zero"]]) +
    gg_band("lower", "upper") +
    ggplot2::geom_line(colour = wce_colours[["line"]], linewidth = 1) + facet +
    ggplot2::labs(x = time_label(object$unit, "origin"),
                  y = "Log hazard ratio") +
    gg_theme()
}

#' @rdname influence.wce
#' @param object An object of class `wce_influence`.
#' @exportS3Method ggplot2::autoplot
autoplot.wce_influence <- function(object, ...) {
  need_ggplot2()
  if (object$what == "weight") {
    curves <- object$curves
    whole <- is.na(curves$id)
    words <- c("all people", "without one of the most influential")
    curves$which <- factor(ifelse(whole, words[1L], words[2L]), words)
    curves$line <- rep(seq_len(nrow(object$top) + 1L), each = sum(whole))
    return(
      ggplot2::ggplot(curves, ggplot2::aes(
        .data$lag, .data$weight, group = -.data$line, colour = .data$which,
        linewidth = .data$which
      )) + gg_zero() + ggplot2::geom_line(na.rm = TRUE) +
        ggplot2::scale_colour_manual(
          NULL, values = unname(wce_colours[c("line", "second")])
        ) +
        ggplot2::scale_linewidth_manual(NULL, values = c(1.3, 0.4)) +
        ggplot2::labs(x = lag_label(object$unit), y = weight_label) +
        gg_theme()
    )
  }
  drawn <- data.frame(size = sort(unname(object$size), decreasing = TRUE))
  drawn$rank <- seq_len(nrow(drawn))
  ggplot2::ggplot(drawn, ggplot2::aes(.data$rank, .data$size)) +
    ggplot2::geom_segment(ggplot2::aes(xend = .data$rank, yend = 0),
                          colour = wce_colours[["line"]], alpha = 0.35) +
    ggplot2::geom_point(colour = wce_colours[["line"]], size = 1) +
    ggplot2::scale_x_log10() +
    ggplot2::labs(x = "People, the most influential first",
                  y = if (object$what == "coefficients")
                    "Likelihood displacement" else
                      "Change of log HR in standard errors") +
    gg_theme()
}

#' Plot survival curves of plans
#'
#' `plot()` draws them as it does all `survfit` objects.
#'
#' @param object An object of class `survfitwce`, from [survfit.wce()].
#' @param fun `"surv"`, `"event"` (one less survival) or `"cumhaz"`.
#' @param band Draw the confidence bands?
#' @param ... Not used.
#' @return A ggplot.
#' @exportS3Method ggplot2::autoplot
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' who <- data.frame(entry = 0, exit = 300, sex = people$sex[1], age = 60)
#' plans <- list("30 days" = data.frame(start = 0, stop = 30, dose = 1),
#'               "300 days" = data.frame(start = 0, stop = 300, dose = 1))
#' ggplot2::autoplot(survfit(fit, who, plans))
autoplot.survfitwce <- function(object, fun = c("surv", "event", "cumhaz"),
                                band = TRUE, ...) {
  need_ggplot2()
  fun <- check_word(fun, c("surv", "event", "cumhaz"), "fun")
  drawn <- curve_data(object, fun)
  labels <- levels(drawn$curve)
  several <- length(labels) > 1L
  plot <- ggplot2::ggplot(drawn, ggplot2::aes(.data$time, .data$value,
                                              colour = .data$curve))
  if (band && !is.null(drawn$lower)) {
    plot <- plot + ggplot2::geom_ribbon(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper,
                   fill = .data$curve), alpha = 0.13, colour = NA, na.rm = TRUE
    )
  }
  y <- c(surv = "Survival", event = "Probability of an event",
         cumhaz = "Cumulative hazard")[[fun]]
  plot + ggplot2::geom_line(linewidth = 0.9) + gg_colours(labels) +
    ggplot2::labs(x = time_label(attr(object, "unit"), "start"), y = y) +
    gg_theme() +
    ggplot2::theme(legend.position = if (several) "top" else "none")
}

# Corners of the steps, beginning at time 0.
curve_data <- function(object, fun) {
  sizes <- object$strata %||% c(curve = length(object$time))
  form <- switch(fun, surv = identity, event = function(s) 1 - s,
                 cumhaz = function(s) -log(s))
  columns <- intersect(c("surv", "lower", "upper"), names(object))
  ends <- cumsum(sizes)
  pieces <- lapply(seq_along(sizes), function(k) {
    at <- seq_len(sizes[[k]]) + ends[[k]] - sizes[[k]]
    n <- length(at)
    corner <- c(1L, rep(seq_len(n) + 1L, each = 2L))
    before <- c(1L, rep(seq_len(n), each = 2L) + rep(0:1, n))
    one <- data.frame(time = c(0, object$time[at])[corner],
                      curve = names(sizes)[k])
    for (name in columns) {
      one[[name]] <- form(c(1, object[[name]][at])[before])
    }
    one
  })
  drawn <- do.call(rbind, pieces)
  drawn$curve <- factor(drawn$curve, levels = names(sizes))
  names(drawn)[names(drawn) == "surv"] <- "value"
  drawn
}

# nolint end
