# The robust variance of a fit from a store: people, or the groups of a
# cluster(), are the units that are independent. The engine adds up the squares
# of their scores, block by block; nothing by person comes back.

# data, people: of one block. Value: NULL, or list(label, group = position of
# the group of every person of the block among `labels`).
store_cluster <- function(faults, model, data, people) {
  parts <- model$parts
  found <- read_cluster(faults, parts, data, people)
  if (is.null(found$label)) return(NULL)
  value <- unique(eval(parts$cluster, data, parts$env))
  # Labels tell groups apart in all blocks: numbers keep all their digits.
  labels <- if (is.double(value) && !is.object(value)) {
    sprintf("%.17g", value)
  } else {
    as.character(value)
  }
  list(label = found$label, group = found$group, labels = enc2utf8(labels))
}

# As decide_robust() with rows at hand.
store_robust <- function(robust, design) {
  if (!is.null(robust) && !rlang::is_bool(robust)) {
    return(decide_robust(robust, design))
  }
  has_cluster <- !is.null(design$cluster$label)
  if (is.null(robust)) return(has_cluster || design$needs_robust)
  if (has_cluster && !robust) {
    warn_user("`cluster()` has no effect with `robust = FALSE`.",
              code = "cluster_ignored")
  }
  robust
}

# fit: of the engine, with `meat`, the sum of the squares of the units' scores.
sandwich_fit <- function(fit) {
  if (is.null(fit$meat)) return(fit)
  p <- length(fit$coefficients)
  meat <- matrix(fit$meat, p, p)
  fit$naive.var <- fit$var
  smooth <- fit$smoothing
  fit$var <- if (is.null(smooth)) {
    fit$naive.var %*% meat %*% fit$naive.var
  } else {
    # In place of the part of the variance that comes from sampling.
    fit$naive.var - smooth$frequentist + smooth$bayes %*% meat %*% smooth$bayes
  }
  fit$meat <- NULL
  fit
}
