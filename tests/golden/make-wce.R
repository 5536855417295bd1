# Runs the CRAN package WCE on the cases listed beside this file and writes the
# numbers of its results:
#   Rscript make-wce.R                        golden-wce.csv.gz
#   Rscript make-wce.R drugdata.csv.gz        golden-wce-drugdata.csv.gz too
# (the second with the path of WCE's own example data as CSV). Nothing of the
# package but numbers is kept here.
#
# One line per number: case, quantity, model (knot count), row, col, value.
# "tight" cases are run at coxph's optimum; "default" ones as WCE runs by
# itself, where coxph stops when the log-likelihood changes by less than 1e-9.

library(WCE)

columns <- list(
  daily = c(id = "Id", event = "Event", start = "Start", stop = "Stop",
            expos = "dose"),
  ties = c(id = "person", event = "case", start = "from", stop = "to",
           expos = "mg"),
  drugdata = c(id = "Id", event = "Event", start = "Start", stop = "Stop",
               expos = "dose")
)

controls <- list(
  tight = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                  iter.max = 60),
  default = NULL
)

words <- function(x) if (is.na(x)) NULL else strsplit(x, " ")[[1L]]

# The profiles of the hazard ratios: always exposed, the last third only, every
# other unit; each against never exposed; and the last two against each other.
profiles <- function(m) {
  list(always = rep(1, m), recent = as.numeric(seq_len(m) <= m / 3),
       alternate = rep_len(c(2, 0), m), never = numeric(m))
}
contrasts <- rbind(c("always", "never"), c("recent", "never"),
                   c("alternate", "never"), c("recent", "alternate"))

# One block of lines: a matrix (or vector) with its row and column names.
lines_of <- function(case, quantity, model, x) {
  if (is.null(dim(x))) x <- matrix(x, 1L, dimnames = list(NULL, names(x)))
  label <- function(names, n) if (is.null(names)) seq_len(n) else names
  data.frame(
    case = case, quantity = quantity, model = model,
    row = rep(label(rownames(x), nrow(x)), ncol(x)),
    col = rep(label(colnames(x), ncol(x)), each = nrow(x)),
    value = sprintf("%.17g", as.vector(x))
  )
}

run_case <- function(case, table) {
  by <- columns[[case$data]]
  covariates <- words(case$covariates)
  nknots <- as.numeric(words(case$nknots))
  constrained <- if (case$constrained == "FALSE") FALSE else case$constrained
  fit <- suppressWarnings(WCE(
    table, "Cox", nknots, case$cutoff, constrained = constrained,
    aic = case$aic, id = by[["id"]], event = by[["event"]],
    start = by[["start"]], stop = by[["stop"]], expos = by[["expos"]],
    covariates = covariates, controls = controls[[case$controls]]
  ))
  models <- sub(" .*", "", names(fit$knotsmat))
  all <- "all"
  doses <- profiles(case$cutoff)
  blocks <- c(
    list(
      lines_of(case$case, "loglik", all, fit$loglik),
      lines_of(case$case, "criterion", all, fit$info.criterion),
      lines_of(case$case, "nevents", all, fit$nevents),
      lines_of(case$case, "WCEmat", all, fit$WCEmat)
    ),
    if (length(covariates)) list(
      lines_of(case$case, "beta", all, fit$beta.hat.covariates),
      lines_of(case$case, "se", all, fit$se.covariates)
    ),
    lapply(seq_along(models), function(k) rbind(
      lines_of(case$case, "knots", models[k], fit$knotsmat[[k]]),
      lines_of(case$case, "est", models[k], fit$est[[k]]),
      lines_of(case$case, "SED", models[k], fit$SED[[k]]),
      lines_of(case$case, "vcov", models[k], fit$vcovmat[[k]])
    )),
    lapply(seq_len(nrow(contrasts)), function(k) {
      pair <- contrasts[k, ]
      hr <- HR.WCE(fit, doses[[pair[1L]]], doses[[pair[2L]]], allres = TRUE)
      colnames(hr) <- paste(pair, collapse = " / ")
      best <- HR.WCE(fit, doses[[pair[1L]]], doses[[pair[2L]]])
      rbind(lines_of(case$case, "HR", all, hr),
            lines_of(case$case, "HR best", all,
                     stats::setNames(as.vector(best), colnames(hr))))
    })
  )
  do.call(rbind, blocks)
}

run_cases <- function(cases, tables, file) {
  cases <- utils::read.csv(cases, colClasses = c(constrained = "character",
                                                 nknots = "character"),
                           na.strings = "")
  lines <- lapply(seq_len(nrow(cases)), function(k) {
    run_case(cases[k, ], tables[[cases$data[k]]])
  })
  connection <- gzfile(file, "w", compression = 9)
  on.exit(close(connection))
  utils::write.csv(do.call(rbind, lines), connection, row.names = FALSE)
}

run_cases(
  "golden-cases.csv",
  list(daily = utils::read.csv("golden-daily.csv.gz"),
       ties = utils::read.csv("golden-ties.csv.gz")),
  "golden-wce.csv.gz"
)

drugdata <- commandArgs(trailingOnly = TRUE)
if (length(drugdata)) {
  run_cases("golden-cases-drugdata.csv",
            list(drugdata = utils::read.csv(drugdata[1L])),
            "golden-wce-drugdata.csv.gz")
}
