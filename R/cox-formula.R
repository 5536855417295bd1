# Reading the formula of cox(): what is taken out of it, what the engine cannot
# do, and what Surv() is made of. Nothing of the data is evaluated here.

# The specials whose positions survival looks up in the terms of a fit.
cox_specials <- c("strata", "tt", "frailty", "ridge", "pspline")

# Terms that only survival::coxph fits.
foreign_terms <- c("tt", "frailty", "frailty.gamma", "frailty.gaussian",
                   "frailty.t", "pspline")

# Value: list(formula, cluster, foreign, env). `cluster(g)` leaves the formula
# and becomes the argument `cluster`, as coxph has it; `foreign` names the terms
# that the engine does not know.
read_cox_formula <- function(formula) {
  if (is.list(formula)) return(list(foreign = "a list of formulas"))
  if (!rlang::is_formula(formula, lhs = TRUE)) {
    abort_input(
      "`formula` must be a formula with a `Surv()` on its left.",
      x = sprintf("It is %s.", what_is(formula)),
      i = "Like `Surv(start, stop, event) ~ sex + age`.", code = "formula"
    )
  }
  formula <- stats::formula(formula)
  right <- bare_specials(rlang::f_rhs(formula))
  parts <- take_out_cluster(right)
  rlang::f_rhs(formula) <- parts$rest %||% 1
  environment(formula) <- env_with_specials(environment(formula))
  found <- Filter(function(f) calls_function(right, f), foreign_terms)
  list(formula = formula, cluster = parts$cluster,
       changed = !is.null(parts$cluster),
       foreign = if (length(found)) sprintf("`%s()`", found[1L]))
}

# terms() knows specials by their bare name only: `survival::strata(x)` would be
# one more covariate.
bare_specials <- function(e) {
  if (!is.call(e)) return(e)
  if (rlang::is_call(e, c(cox_specials, foreign_terms, "cluster"),
                     ns = c("survival", "vigitensor"))) {
    e[[1L]] <- e[[1L]][[3L]]
  }
  e[-1L] <- lapply(as.list(e)[-1L], bare_specials)
  e
}

# The formula's own environment; with survival's functions below it where it
# has none of these names, as when no package is attached.
env_with_specials <- function(env) {
  absent <- Filter(function(name) !exists(name, envir = env, mode = "function"),
                   c("Surv", "strata", "ridge", "frailty", "pspline"))
  if (length(absent) == 0L) return(env)
  below <- new.env(parent = env)
  for (name in absent) {
    assign(name, getExportedValue("survival", name), envir = below)
  }
  below
}

calls_function <- function(e, name) {
  if (!is.call(e)) return(FALSE)
  if (rlang::is_call(e, name)) return(TRUE)
  any(vapply(as.list(e)[-1L], calls_function, NA, name = name))
}

# Splits a sum into its one cluster() term and the rest.
take_out_cluster <- function(e) {
  parts <- split_cluster(e)
  if (length(parts$cluster) > 1L) {
    abort_input("The formula has several `cluster()` terms.",
                i = "One column must tell the groups apart.", code = "formula")
  }
  if (calls_function(parts$rest, "cluster")) {
    abort_input("`cluster()` must stand alone between `+` signs.",
                x = "It is part of an interaction or of another call.",
                code = "formula")
  }
  found <- parts$cluster
  if (length(found) && length(found[[1L]]) != 2L) {
    abort_input("`cluster()` has one argument: the column of the groups.",
                code = "formula")
  }
  list(rest = parts$rest, cluster = if (length(found)) found[[1L]][[2L]])
}

split_cluster <- function(e) {
  if (rlang::is_call(e, "cluster")) {
    return(list(rest = NULL, cluster = list(e)))
  }
  if (rlang::is_call(e, "+", n = 2L) && calls_function(e, "cluster")) {
    left <- split_cluster(e[[2L]])
    right <- split_cluster(e[[3L]])
    rest <- if (is.null(left$rest)) right$rest else if (is.null(right$rest)) {
      left$rest
    } else {
      call("+", left$rest, right$rest)
    }
    return(list(rest = rest, cluster = c(left$cluster, right$cluster)))
  }
  list(rest = e, cluster = list())
}

# The arguments of a plain Surv(time, event) or Surv(start, stop, event), as
# calls by the names start, stop, event; NULL for anything else (another `type`,
# a variable that holds a Surv object), which Surv() itself must judge.
plain_surv <- function(left) {
  if (!rlang::is_call(left, "Surv", ns = c("", "survival", "vigitensor"))) {
    return(NULL)
  }
  parts <- as.list(match.call(survival::Surv, left))[-1L]
  if (!all(names(parts) %in% c("time", "time2", "event"))) return(NULL)
  if (length(parts) == 3L) {
    stats::setNames(parts[c("time", "time2", "event")],
                    c("start", "stop", "event"))
  } else if (length(parts) == 2L && "time" %in% names(parts)) {
    list(stop = parts$time, event = parts[[setdiff(names(parts), "time")]])
  }
}
