# Cox model: 1 million (start, stop] rows, 20 covariates, against coxph in the
# same run. Equality first, at coxph's optimum.
#
#   Rscript bench/cox.R [rows]
source("bench/common.R")
need_engine()

cox_table <- function(n, seed = 20) {
  set.seed(seed)
  x <- matrix(stats::rnorm(16 * n), n)
  table <- as.data.frame(cbind(x, matrix(stats::rbinom(4 * n, 1, 0.3), n)))
  names(table) <- paste0("x", 1:20)
  table$start <- sample(0:700, n, replace = TRUE)
  table$stop <- table$start + sample(1:90, n, replace = TRUE)
  risk <- exp(0.2 * table$x1 - 0.3 * table$x17)
  table$event <- as.integer(stats::runif(n) < pmin(1, 0.03 * risk))
  table
}

n <- as.numeric(commandArgs(TRUE)[1L])
if (is.na(n)) n <- 1e6
table <- cox_table(n)
formula <- stats::reformulate(paste0("x", 1:20),
                              quote(Surv(start, stop, event)))
size <- sprintf("%s rows, 20 covariates",
                format(n, big.mark = ",", scientific = FALSE))

ours <- cox(formula, data = table, engine = "cpu")
tight <- coxph.control(eps = 1e-14, toler.chol = 1e-15, iter.max = 60)
peer <- coxph(formula, data = table, control = tight)
difference <- check_same_fit(ours, peer)
variance <- max(abs(ours$var - peer$var)) / max(abs(peer$var))
stopifnot(
  variance < 1e-7,
  max(abs(ours$residuals - peer$residuals)) < 1e-8,
  max(abs(ours$concordance - peer$concordance) /
        pmax(1, peer$concordance)) < 1e-8
)
rm(peer)

# What the fit alone costs, from the matrix of covariates to the variance.
x <- as.matrix(table[paste0("x", 1:20)])
dimnames(x) <- list(NULL, colnames(x))
y <- Surv(table$start, table$stop, table$event)
design <- list(
  "fit_cox", start = as.double(table$start), stop = as.double(table$stop),
  event = table$event, stratum = rep.int(1L, n), offset = numeric(n),
  weight = rep(1, n), x = unname(x)
)
engine_call <- getFromNamespace("engine_call", "vigitensor")
bare <- function() do.call(engine_call, design)
peer_bare <- function() {
  agreg.fit(x, y, NULL, NULL, NULL, coxph.control(), NULL, "efron",
            as.character(seq_len(n)))
}
whole <- median_seconds(function() cox(formula, data = table, engine = "cpu"))
whole_peer <- median_seconds(function() coxph(formula, data = table), 1L)
inner <- median_seconds(bare)
inner_peer <- median_seconds(peer_bare, 1L)
cat(sprintf("Whole call: %.1f x; design to variance: %.1f x\n",
            whole_peer / whole, inner_peer / inner))
write_results(
  "cox",
  figure("cox", "cox(), whole call", size, "cpu", whole,
         target = "10 x coxph", difference = difference),
  figure("cox", "coxph(), whole call", size, "survival", whole_peer),
  figure("cox", "cox(), design to variance", size, "cpu", inner,
         target = "30 x agreg.fit"),
  figure("cox", "agreg.fit(), design to variance", size, "survival",
         inner_peer)
)
