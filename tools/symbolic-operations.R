# Writes R/symbolic-operations.R from the table of operations: one exported
# function for each operation whose `r_name` is a word that R does not have.
# Run from the package's folder: Rscript tools/symbolic-operations.R

table <- utils::read.csv("inst/python/vigitensor/symbolic/operations.csv",
                         colClasses = "character", na.strings = character())

# Another name where R's own would be masked; these are functions of base R, and
# no generics.
renamed <- c(atan2 = "arctan2", pmin = "minimum", pmax = "maximum")
is_generic <- table$r_name %in% c(
  "+", "-", "*", "/", "^", "==", "!=", "<", "<=", ">", ">=",
  methods::getGroupMembers("Math"),
  methods::getGroupMembers("Summary"), methods::getGroupMembers("Complex"),
  "argmin", "argmax", "Re", "Im", "Mod", "Arg", "Conj", "round", "trunc",
  "|", "!", "&", "sum", "min", "max", "complex"
)
table$fun <- ifelse(table$r_name %in% names(renamed), renamed[table$r_name],
                    table$r_name)
extra <- c(where = "where", real2complex = "real2complex",
           imag2complex = "imag2complex")
more <- table$name %in% names(extra)
table$fun[more] <- extra[table$name[more]]
own <- table[nzchar(table$fun) & !is_generic, ]
stopifnot(!anyDuplicated(own$fun),
          !any(vapply(own$fun, exists, NA, envir = baseenv(),
                      inherits = FALSE)))

# Whole numbers that follow the arguments, as R's users write them.
by_hand <- c("elem", "extract", "elemT", "extractT", "tensordot", "kron",
             "concat", "one_hot", "mod", "bspline", "clamp")
plain <- own[!own$fun %in% by_hand & own$static == "", ]

letters_of <- function(arity) c("x", "y", "z")[seq_len(arity)]
lines <- unlist(lapply(seq_len(nrow(plain)), function(k) {
  row <- plain[k, ]
  names <- letters_of(as.integer(row$arity))
  if (row$name == "where") names <- c("test", "yes", "no")
  # The weights come last, as in RKeOps; first in the table.
  order <- names
  if (startsWith(row$name, "weighted")) {
    names <- c(letters_of(length(names) - 1L), "s")
    order <- c("s", names[-length(names)])
  }
  given <- paste(order, collapse = ", ")
  c("", "#' @rdname symbolic_operations", "#' @export",
    sprintf("%s <- function(%s) {", row$fun, paste(names, collapse = ", ")),
    sprintf("  call_operation(\"%s\", list(%s))", row$name, given), "}")
}))
items <- sprintf("#' \\item{`%s()`}{%s.}", own$fun, own$description)
items <- sub("from 0", "from 1", items)
items <- unlist(lapply(items, strwrap, width = 80L, prefix = "#' ",
                       initial = ""))
items <- sub("^#' #' ", "#' ", items)

writeLines(c(
  "# Written by tools/symbolic-operations.R from the table of operations.",
  "# Do not edit.",
  "",
  "#' @rdname symbolic_operations",
  "#' @section Functions:",
  "#' \\describe{",
  items,
  "#' }",
  "#' @name symbolic_operations",
  "NULL",
  lines
), "R/symbolic-operations.R")
cat("not plain:", setdiff(own$fun, plain$fun), "\n")
