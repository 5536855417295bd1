# ridge() terms with a fixed theta are a quadratic penalty: minus half of
# sum(second * beta^2). Everything else that is penalised is for survival.

is_fixed_ridge <- function(x) {
  if (!inherits(x, "coxph.penalty")) return(FALSE)
  settings <- attributes(x)
  isTRUE(settings$diag) && is.null(settings$cargs) &&
    identical(names(settings$cparm), "theta") &&
    all(startsWith(settings$varname, "ridge("))
}

# Value: named list, one element per term: columns, names, theta, second (the
# second derivatives of the penalty).
read_ridge <- function(frame, terms, assign) {
  at <- vapply(frame, inherits, NA, what = "coxph.penalty")
  if (!any(at)) return(list())
  labels <- names(frame)[at]
  order <- attr(terms, "order")[match(labels, attr(terms, "term.labels"))]
  if (anyNA(order) || any(order > 1)) {
    abort_input("`ridge()` must stand alone between `+` signs.",
                x = "It is part of an interaction.", code = "formula")
  }
  stats::setNames(lapply(labels, function(label) {
    settings <- attributes(frame[[label]])
    columns <- assign[[label]]
    theta <- settings$cparm$theta
    second <- settings$pfun(numeric(length(columns)), theta, 0,
                            settings$pparm)$second
    list(columns = columns, names = settings$varname, theta = theta,
         second = rep_len(as.vector(second), length(columns)))
  }), labels)
}

# coxph calls the coefficients of ridge(x, theta = 1) `ridge(x)`.
coefficient_names <- function(design) {
  labels <- design$labels
  for (term in design$ridge) labels[term$columns] <- term$names
  labels
}

# Diagonal of the penalty over all p coefficients; NULL when there is none.
ridge_diagonal <- function(ridge, p) {
  if (length(ridge) == 0L) return(NULL)
  diagonal <- numeric(p)
  for (term in ridge) diagonal[term$columns] <- term$second
  diagonal
}

# What coxph adds to a penalised fit; see ?coxph.object of survival 3.5.
# `var` is the inverse of the penalised information, `var2` the sandwich of the
# unpenalised one between two of them, `df` the trace of one in terms of the
# other, by term.
ridge_components <- function(ridge, fit, assign) {
  p <- length(fit$coefficients)
  second <- ridge_diagonal(ridge, p)
  beta <- ifelse(is.na(fit$coefficients), 0, fit$coefficients)
  var <- fit$var
  var2 <- fit$var2
  penalised <- names(assign) %in% names(ridge)
  df <- if (length(assign) == 1L) sum(diag(var2 %*% safe_inverse(var))) else {
    vapply(assign, function(k) {
      sum(diag(safe_inverse(var[k, k, drop = FALSE]) %*%
                 var2[k, k, drop = FALSE]))
    }, 0)
  }
  list(
    df = unname(df),
    df2 = NULL, penalty = rep(sum(second * beta^2) / 2, 2L),
    pterms = stats::setNames(as.numeric(penalised), names(assign)),
    assign2 = assign,
    history = lapply(ridge, function(r) list(theta = r$theta, done = TRUE)),
    coxlist2 = list(coef = unname(beta), first = -second * unname(beta),
                    second = second, penalty = -sum(second * beta^2) / 2,
                    flag = rep(FALSE, p)),
    printfun = lapply(ridge, function(r) NULL)
  )
}

# Inverse with zero rows and columns where a coefficient was dropped.
safe_inverse <- function(var) {
  live <- diag(var) > 0
  inverse <- matrix(0, nrow(var), ncol(var))
  if (!any(live)) return(inverse)
  inverse[live, live] <- solve(var[live, live, drop = FALSE])
  inverse
}
