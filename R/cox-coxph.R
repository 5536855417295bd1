# Models that survival::coxph fits for us: those that the engine cannot do, and
# all of them with engine = "reference". The result is its object, made one of
# class "cox" as well.

# reason: what the engine cannot do, or NULL for the reference engine.
cox_by_coxph <- function(call, parts, control, env, reason) {
  heard <- new.env(parent = emptyenv())
  heard$infinite <- integer()
  heard$not_converged <- FALSE
  fit <- withCallingHandlers(
    tryCatch(eval(coxph_call(call, parts, control, reason), env),
             error = function(e) {
      abort_input("survival::coxph(), which fits this model, stopped.",
                  x = conditionMessage(e), code = "coxph")
    }),
    warning = function(w) listen_to_coxph(w, heard)
  )
  if (!is.list(fit) || !is.null(fit$fail)) {
    abort_input("survival::coxph(), which fits this model, did not succeed.",
                x = as.character(fit$fail), code = "coxph")
  }
  # With exact ties of (start, stop] rows some versions forget the class.
  if (!inherits(fit, "coxph")) {
    class(fit) <- "coxph"
    fit$method <- "exact"
    fit$linear.predictors <- as.vector(fit$linear.predictors)
  }
  fit$call <- stored_call(call, parts)
  labels <- names(fit$coefficients)
  fit$converged <- !heard$not_converged
  fit$infinite <- stats::setNames(seq_along(labels) %in% heard$infinite, labels)
  fit
}

coxph_call <- function(call, parts, control, reason) {
  call[[1L]] <- quote(survival::coxph)
  call[c("engine", "light")] <- NULL
  if (!is.null(parts$formula)) call$formula <- parts$formula
  # The other engines go to the optimum: so does the reference.
  if (is.null(reason) && length(control$given) == 0L) {
    call$control <- survival::coxph.control(iter.max = 60)
    call$control$eps <- 1e-14
  }
  call
}

# coxph says in words what the object should say.
listen_to_coxph <- function(w, heard) {
  text <- conditionMessage(w)
  if (grepl("may be infinite", text)) {
    found <- regmatches(text, gregexpr("[0-9]+", text))[[1L]]
    heard$infinite <- as.integer(found)
    tryInvokeRestart("muffleWarning")
  } else if (grepl("did not converge", text)) {
    heard$not_converged <- TRUE
    tryInvokeRestart("muffleWarning")
  } else if (startsWith(text, "a variable appears on both") ||
               is_surv_warning(text)) {
    tryInvokeRestart("muffleWarning")
  }
}

# The call that the object keeps: what update() and model.frame() start from.
stored_call <- function(call, parts) {
  if (isTRUE(parts$changed)) call$formula <- parts$formula
  call
}
