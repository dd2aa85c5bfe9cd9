// Reductions: many elements make one.
//
//     sum(t)                         all elements: a plain value
//     sum(t, axes<0>)                an expression of the other dimensions
//     sum(t, axes<0, -1>, keepdims)  ... in which those dimensions stay, with size 1, as t - max(t, axes<-1>, keepdims)
//                                    needs them
//
//   operation   of bool       of integers    of floating point   no elements
//   sum         std::size_t   the type       the type            0
//   mean        double        double         the type            not-a-number
//   max, min    bool          the type       the type            std::invalid_argument
//   argmax,     std::size_t: the place among the elements that are reduced, in row-major order, of the first maximum,
//   argmin      or minimum
//   all, any    bool: whether all, or any, are not zero          true, false
//
// The rounding error of a sum grows at most with the logarithm of the number of elements. Of float and double, elements
// that are neighbours in memory are added more exactly: a few dozen in their own type, and what those come to in
// double; of double, with the error of each addition carried along. Operands have up to 31 dimensions. Integer sums
// wrap around, those of small integers as well, which are of their type: sum(cast<std::int64_t>(t)) is NumPy's.
// Not-a-number is the maximum, and the minimum, of everything that it is in.
//
// Cost: one pass over the operand, in the order in which its memory is walked best. Whole reductions allocate nothing,
// unless there are others inside. A reduction over some dimensions is evaluated straight into its target; inside of an
// expression, it is computed first, into memory of the resource that the evaluation uses; r[i] computes one element.
module;
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <type_traits>
#include <utility>
export module buffers.tensor:reduction;
import buffers.core;
import :dtype;
import :layout;
import :index;
import :loops;
import :block;
import :expression;
import :kernels;
import :operations;

namespace buffers::detail {

[[noreturn]] void throw_no_elements(const char* what);

// --- What is done with two elements. `accumulator` is the type that it is done in.

template <class T>
using wide = std::conditional_t<std::is_floating_point_v<T> && sizeof(T) < sizeof(float), float, T>;

struct sum_of {
  static constexpr bool needs_elements = false;
  template <class T>
  using accumulator = std::conditional_t<std::is_same_v<T, bool>, std::size_t, wide<T>>;
  template <class T>
  using result = std::conditional_t<std::is_same_v<T, bool>, std::size_t, T>;
  template <class R>
  static constexpr R identity = R{0};
  template <class R>
  static R combine(R a, R b) {
    return static_cast<R>(add::apply(a, b));
  }
  template <class R>
  static R finish(R total, std::size_t) {
    return total;
  }
  template <has_kernels R>
  static R total(const R* elements, std::size_t count) noexcept {
    return kernels::sum(elements, count);
  }
  template <has_kernels R>
  static void rows(const R* elements, std::size_t rows, std::size_t columns, std::ptrdiff_t stride, R* out) noexcept {
    kernels::sum_rows(elements, rows, columns, stride, out);
  }
  template <has_kernels R>
  static void columns(const R* elements, std::size_t rows, std::size_t columns, std::ptrdiff_t stride,
                      R* out) noexcept {
    kernels::sum_columns(elements, rows, columns, stride, out);
  }
};

struct mean_of : sum_of {
  template <class T>
  using accumulator = wide<real<T>>;
  template <class T>
  using result = real<T>;
  template <class R>
  static R finish(R total, std::size_t count) {
    return total / static_cast<R>(count);
  }
};

template <class Op>
struct choice_of {
  static constexpr bool needs_elements = true;
  template <class T>
  using accumulator = T;
  template <class T>
  using result = T;
  template <class R>
  static R combine(R a, R b) {
    return Op::apply(a, b);
  }
  template <class R>
  static R finish(R value, std::size_t) {
    return value;
  }
  template <class R>
  static constexpr R identity = R{};
  template <class R>
    requires requires(const R* in, R* out) { Op::rows(in, 1, 1, 1, out); }
  static void rows(const R* elements, std::size_t rows, std::size_t columns, std::ptrdiff_t stride, R* out) noexcept {
    Op::rows(elements, rows, columns, stride, out);
  }
};

template <class Op, bool Start>
struct truth_of {
  static constexpr bool needs_elements = false, wanted = !Start;  // the element that decides
  template <class T>
  using accumulator = bool;
  template <class T>
  using result = bool;
  template <class R>
  static constexpr R identity = Start;
  template <class R>
  static R combine(R a, R b) {
    return Op::apply(a, b);
  }
  template <class R>
  static R finish(R value, std::size_t) {
    return value;
  }
};

using all_of = truth_of<both, true>;
using any_of = truth_of<either, false>;

// --- Neighbouring elements

// Several elements at a time, which is what vector instructions do: all of those that fill so many vectors of them, of
// which there must be some. Goes on to the rest.
template <class Op, std::size_t Vectors, std::size_t Lanes, class R>
[[nodiscard, gnu::always_inline]] inline R reduce_lanes(const R*& elements, std::size_t& count) {
  constexpr std::size_t all = Vectors * Lanes;
  R lane[Vectors][Lanes];
  for (std::size_t v = 0; v < Vectors; ++v)
    for (std::size_t k = 0; k < Lanes; ++k) lane[v][k] = elements[v * Lanes + k];
  for (elements += all, count -= all; count >= all; elements += all, count -= all)
    for (std::size_t v = 0; v < Vectors; ++v)
      for (std::size_t k = 0; k < Lanes; ++k) lane[v][k] = Op::combine(lane[v][k], elements[v * Lanes + k]);
  for (std::size_t width = Vectors / 2; width > 0; width /= 2)
    for (std::size_t v = 0; v < width; ++v)
      for (std::size_t k = 0; k < Lanes; ++k) lane[v][k] = Op::combine(lane[v][k], lane[v + width][k]);
  for (std::size_t width = Lanes / 2; width > 0; width /= 2)
    for (std::size_t k = 0; k < width; ++k) lane[0][k] = Op::combine(lane[0][k], lane[0][k + width]);
  return lane[0][0];
}

// count > 0.
template <class Op, class R>
[[nodiscard, gnu::always_inline]] inline R reduce_row(const R* elements, std::size_t count) {
  constexpr std::size_t few = 8, many = 32 / sizeof(R) > few ? 32 / sizeof(R) : few;
  R result;
  if (count >= 8 * many)
    result = reduce_lanes<Op, 4, many>(elements, count);
  else if (count >= few)
    result = reduce_lanes<Op, 1, few>(elements, count);
  else
    --count, result = *elements++;
  if (count >= few) result = Op::combine(result, reduce_lanes<Op, 1, few>(elements, count));
  for (; count > 0; ++elements, --count) result = Op::combine(result, *elements);
  return result;
}

// Rows of neighbours in memory.
template <class R>
struct matrix {
  const R* elements;
  std::size_t rows, columns;
  std::ptrdiff_t stride;  // from a row to the next
};

// What each row comes to; columns > 0.
template <class Op, class R>
struct rows_reduction {
  matrix<R> from;
  R* out;
  [[gnu::always_inline]] inline void operator()() const {
    const R* row = from.elements;
    for (std::size_t r = 0; r < from.rows; ++r, row += from.stride) out[r] = reduce_row<Op>(row, from.columns);
  }
};
template <class Op, class R>
void reduce_rows(const matrix<R>& from, R* out) {
  if constexpr (requires { Op::rows(out, 1, 1, 1, out); })
    Op::rows(from.elements, from.rows, from.columns, from.stride, out);
  else
    run_loop(rows_reduction<Op, R>{from, out});
}
template <class Op, class R>
[[nodiscard]] R reduce_some(const R* elements, std::size_t count) {
  R result;
  reduce_rows<Op>(matrix<R>{elements, 1, count, 0}, &result);
  return result;
}

// What each column comes to with what is in `totals`.
template <class Op, class R>
struct columns_reduction {
  matrix<R> from;
  R* totals;
  [[gnu::always_inline]] inline void operator()() const {
    // Where the compiler sees that a maximum is stored where it was read, it stores only those that are new, which is
    // slow on many processors.
    R* const out = launder_origin(totals);
    const R* const in = totals;
    const R* row = from.elements;
    const std::ptrdiff_t stride = from.stride;
    std::size_t left = from.rows;
    for (; left >= 4; left -= 4, row += 4 * stride)
      for_each_independent(from.columns, [&](std::size_t i) __attribute__((always_inline)) {
        const R* const at = row + i;
        const R first = Op::combine(in[i], *at), second = Op::combine(first, at[stride]);
        out[i] = Op::combine(Op::combine(second, at[2 * stride]), at[3 * stride]);
      });
    for (; left > 0; --left, row += stride)
      for_each_independent(from.columns,
                           [&](std::size_t i) __attribute__((always_inline)) { out[i] = Op::combine(in[i], row[i]); });
  }
};
// Narrow rows without gaps: several of them are a row that fills vectors, of which the columns are combined at the end.
inline constexpr std::size_t wide_row = 64;
[[nodiscard]] constexpr std::size_t rows_together(std::size_t columns) noexcept {
  return columns <= wide_row / 4 ? wide_row / columns : 1;
}
template <class Op, class R>
void combine_narrow_columns(R* totals, const matrix<R>& with) {
  const std::size_t columns = with.columns, together = rows_together(columns), width = together * columns;
  const auto step = static_cast<std::ptrdiff_t>(width), down = static_cast<std::ptrdiff_t>(columns);
  const std::size_t wide = with.rows / together;
  R sums[wide_row];
  std::memcpy(sums, with.elements, width * sizeof(R));
  run_loop(columns_reduction<Op, R>{{with.elements + width, wide - 1, width, step}, sums});
  run_loop(columns_reduction<Op, R>{{sums, together, columns, down}, totals});
  run_loop(
      columns_reduction<Op, R>{{with.elements + wide * width, with.rows - wide * together, columns, down}, totals});
}
template <class Op, class R>
void combine_columns(R* totals, const matrix<R>& with) {
  constexpr std::size_t enough = 4;
  if (with.stride == static_cast<std::ptrdiff_t>(with.columns) && rows_together(with.columns) > 1 &&
      with.rows >= enough * rows_together(with.columns))
    return combine_narrow_columns<Op>(totals, with);
  run_loop(columns_reduction<Op, R>{with, totals});
}

// Parts of a whole, combined in pairs, pairs of pairs, and so on.
template <class Op, class R>
class pairwise {
 public:
  void add(R part) {
    std::size_t level = 0;
    for (std::size_t pairs = count_++; (pairs & 1) != 0; pairs >>= 1, ++level) part = Op::combine(levels_[level], part);
    levels_[level] = part;
  }
  void add(const R* elements, std::size_t count) {
    if constexpr (requires { Op::total(elements, count); }) return add(Op::total(elements, count));
    constexpr std::size_t most = 4096;
    for (; count > most; elements += most, count -= most) add(reduce_some<Op>(elements, most));
    if (count > 0) add(reduce_some<Op>(elements, count));
  }
  [[nodiscard]] R total() const {
    if (count_ == 0) return Op::template identity<R>;
    auto level = static_cast<std::size_t>(std::countr_zero(count_));
    R result = levels_[level];
    for (std::size_t pairs = count_ >> (level + 1); pairs != 0; pairs >>= 1)
      if (++level; (pairs & 1) != 0) result = Op::combine(levels_[level], result);
    return result;
  }

 private:
  std::size_t count_ = 0;
  R levels_[std::numeric_limits<std::size_t>::digits];
};

// --- Places: where the first of the largest, or smallest, elements is, or the first that is not a number.

// Whether value comes before `to`, which is of an earlier place.
template <class Choice, class T>
[[nodiscard, gnu::always_inline]] inline bool is_preferred(T value, T to) {
  return !Choice::reaches(to, value) & (to == to);
}

// As wide as the elements, which suits vectors; see suits_whole_rows.
template <class T>
using place_type = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

// The first element that is `chosen`, which of all of them is what Choice comes to.
template <class Choice, class T>
[[nodiscard, gnu::always_inline]] inline std::size_t find_chosen(const T* row, std::size_t count, T chosen) {
  constexpr std::size_t several = 16;
  std::size_t first = 0;
  for (; count - first > several; first += several) {
    place_type<T> here = 0;
    repeat<several>([&](std::size_t i)
                        __attribute__((always_inline)) { here |= Choice::reaches(row[first + i], chosen) ? 1 : 0; });
    if (here != 0) {
      count = first + several;
      break;
    }
  }
  std::size_t at = count;
  for (std::size_t i = count; i-- > first;) at = Choice::reaches(row[i], chosen) ? i : at;
  if (at == count) [[unlikely]]  // it is no number
    for (at = 0; row[at] == row[at];) ++at;
  return at;
}

// Of each row; of no more than a chunk of rows, and columns > 0.
template <class Choice, class T>
struct places_in_rows {
  matrix<T> from;
  const T* chosen;
  std::size_t* out;

  [[gnu::always_inline]] inline void operator()() const {
    const T* row = from.elements;
    for (std::size_t r = 0; r < from.rows; ++r, row += from.stride)
      out[r] = find_chosen<Choice>(row, from.columns, chosen[r]);
  }
};
template <class Choice, class T>
void find_places(const matrix<T>& from, std::size_t* out) {
  T chosen[chunk];
  reduce_rows<choice_of<Choice>>(from, chosen);
  run_loop(places_in_rows<Choice, T>{from, chosen, out});
}

// Of parts of a row that follow each other.
template <class T, class Choice>
class first_choice {
 public:
  void add(const T* elements, std::size_t count) {
    std::size_t place;
    find_places<Choice>(matrix<T>{elements, 1, count, 0}, &place);
    if (seen_ == 0 || is_preferred<Choice>(elements[place], value_)) {
      value_ = elements[place];
      place_ = seen_ + place;
    }
    seen_ += count;
  }
  [[nodiscard]] std::size_t place() const noexcept { return place_; }

 private:
  T value_{};
  std::size_t place_ = 0, seen_ = 0;
};

// Of each column: the rows at hand are the ones from `first` on, and `best` and `places` are those of the rows before.
template <class Choice, class T>
struct places_in_columns {
  matrix<T> from;
  place_type<T> first;
  T* best;
  place_type<T>* places;

  [[gnu::always_inline]] inline void operator()() const {
    // As in columns_reduction.
    T* const best_out = launder_origin(best);
    place_type<T>* const places_out = launder_origin(places);
    const T *const best_in = best, *row = from.elements;
    const place_type<T>* const places_in = places;
    place_type<T> at = first;
    for (std::size_t r = 0; r < from.rows; ++r, ++at, row += from.stride)
      for_each_independent(from.columns, [&](std::size_t i) __attribute__((always_inline)) {
        // Read here, so that none of it depends on what is preferred.
        const T value = row[i], so_far = best_in[i];
        const place_type<T> place = places_in[i];
        const bool better = is_preferred<Choice>(value, so_far);
        best_out[i] = better ? value : so_far;
        places_out[i] = better ? at : place;
      });
  }
};

template <class A, unsigned Mask, bool Keep>
inline constexpr std::size_t reduced_rank = Keep ? A::rank : A::rank - static_cast<std::size_t>(std::popcount(Mask));

// What all reductions over some dimensions have in common. The operand is a node.
template <class A, class Result, unsigned Mask, bool Keep>
struct reduction_base : computed_before {
  using value_type = Result;
  static constexpr std::size_t rank = reduced_rank<A, Mask, Keep>;
  static constexpr std::size_t leaves = A::leaves, largest = sizeof(Result);
  static constexpr bool may_fail = false;
  static_assert(A::rank < 32, "reductions have operands of up to 31 dimensions");

  reduction_base(A&& operand, const char* name, bool needs_elements)
      : operand_(std::move(operand)), shape_(reduce(operand_.shape(), std::size_t{1})) {
    if (needs_elements && reduced_count() == 0 && this->numel() != 0) [[unlikely]]
      throw_no_elements(name);
  }

  [[nodiscard]] const std::array<std::size_t, rank>& shape() const noexcept { return shape_; }
  void list(operand*& next) const noexcept { operand_.list(next); }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return operand_.resource(); }

 protected:
  // The entries of the dimensions that stay.
  template <class T>
  static std::array<T, rank> reduce(const std::array<T, A::rank>& entries, T reduced) {
    std::array<T, rank> kept{};
    for (std::size_t d = 0, k = 0; d < A::rank; ++d)
      if ((Mask >> d & 1) == 0)
        kept[k++] = entries[d];
      else if constexpr (Keep)
        kept[k++] = reduced;
    return kept;
  }
  // ... with the dimensions that go: in them, `reduced`.
  template <class T>
  static std::array<T, A::rank> widen(const T* kept, T reduced) {
    std::array<T, A::rank> entries{};
    for (std::size_t d = 0, k = 0; d < A::rank; ++d) {
      const bool goes = (Mask >> d & 1) != 0;
      entries[d] = goes ? reduced : kept[k];
      k += Keep || !goes ? 1 : 0;
    }
    return entries;
  }
  // A target as it is for all dimensions of the operand.
  template <class T>
  [[nodiscard]] static strided<T, A::rank> widened(const strided<T, rank>& target) {
    return {target.data, widen(target.shape.data(), std::size_t{1}), widen(target.strides.data(), std::ptrdiff_t{0})};
  }
  [[nodiscard]] std::size_t reduced_count() const noexcept {
    std::size_t count = 1;
    for (std::size_t d = 0; d < A::rank; ++d)
      if ((Mask >> d & 1) != 0) count *= operand_.shape()[d];
    return count;
  }
  // f(element) for the elements that make the one at that index, in row-major order.
  template <class F>
  void for_each_element(const std::size_t* index, F f) const {
    std::array<std::size_t, rank> clipped{};
    for (std::size_t d = 0; d < rank; ++d) clipped[d] = shape_[d] == 1 ? 0 : index[d];
    std::array<std::size_t, A::rank> at = widen(clipped.data(), std::size_t{0});
    for (std::size_t left = reduced_count(); left > 0; --left) {
      f(operand_.element(at.data()));
      for (std::size_t d = A::rank; d-- > 0;) {
        if ((Mask >> d & 1) == 0) continue;
        if (++at[d] < operand_.shape()[d]) break;
        at[d] = 0;
      }
    }
  }

  A operand_;
  std::array<std::size_t, rank> shape_;
};

// f(first, last) over [0, count), on several threads when there is enough to do.
template <class F>
void run_parts(bool parallel, std::size_t count, std::size_t elements_of_one, F f) {
  constexpr std::size_t grain = 16 * 1024;
  if (!parallel || count * elements_of_one < 2 * grain) return f(std::size_t{0}, count);
  in_parallel(count, grain / (elements_of_one + 1) + 1, &f,
              [](void* context, std::size_t first, std::size_t last) { (*static_cast<F*>(context))(first, last); });
}

// The loops of a reduction over the rows of a node, as Rs, into Ts.
template <class R, class T>
struct reduction_pass {
  // What is computed of several rows at a time: elements that stay in the first cache.
  static constexpr std::size_t block = several_chunks;
  // Columns that are combined at a time: enough neighbours for the memory, few enough for the stack.
  static constexpr std::size_t group = 8192 / sizeof(R);

  row_source& source;
  nest loops;
  reduction_plan plan;
  T* out;

  reduction_pass(row_source& node, const nest& memory, const reduced_shape& reduced, bool in_order)
      : source(node),
        loops(memory),
        plan(arrange_reduction(loops, source, reduced, in_order)),
        out(static_cast<T*>(const_cast<void*>(node.operands[0].data))) {}

  // On the stack of whoever runs a part.
  struct room {
    row_reader at;
    alignas(64) R results[block];

    // cppcheck-suppress uninitMemberVar ; what is computed goes there first
    explicit room(const reduction_pass& pass) noexcept : at(pass.source, pass.loops) {}
  };

  [[nodiscard]] inline std::size_t inner() const noexcept { return loops.rank - 1; }
  // Dimensions that go, but for the innermost of all.
  [[nodiscard]] inline std::size_t rows() const noexcept { return loops.steps(plan.kept, inner()); }
  [[nodiscard]] inline std::size_t columns() const noexcept { return loops.shape[inner()]; }
  [[nodiscard]] inline std::size_t groups() const noexcept { return (columns() + group - 1) / group; }
  // Of the target, in the innermost dimension.
  [[nodiscard]] inline std::ptrdiff_t step() const noexcept { return loops.stride(0, inner()); }
  // Whether rows of elements can be seen where they are.
  [[nodiscard]] inline bool is_in_memory() const noexcept { return source.is_leaf() && loops.stride(1, inner()) == 1; }
  // Whether what makes one element is one row, of which several are best taken at a time.
  [[nodiscard]] bool has_short_rows() const noexcept {
    return plan.kept > 0 && plan.kept == inner() &&
           (is_in_memory() || columns() <= (source.is_leaf() ? chunk : block) / 2);
  }

  // Whichever of the three suits the loops, for all results, each of which takes `count` elements.
  template <class ShortRows, class Rows, class Columns>
  void run(bool parallel, std::size_t count, ShortRows short_rows, Rows rows_at_length, Columns columns_at_once) const {
    const std::size_t positions = loops.steps(0, plan.kept);
    if (has_short_rows())
      run_parts(parallel, positions, count, short_rows);
    else if (!plan.inner_kept)
      run_parts(parallel, positions, count, rows_at_length);
    else
      run_parts(parallel, positions * groups(), count * group, columns_at_once);
  }

  // For positions [first, last) of the dimensions that stay: feeds a fresh Part with all elements that go into each.
  template <class Part, class Finish>
  void along_rows(std::size_t first, std::size_t last, Finish finish) const {
    room here(*this);
    row_reader& at = here.at;
    at.seek(0, plan.kept, first);
    for (std::size_t position = first; position < last; ++position, at.next(0, plan.kept)) {
      Part part;
      at.each_row(plan.kept, here.results, [&](const void* elements, std::size_t count) {
        part.add(static_cast<const R*>(elements), count);
        return false;
      });
      out[at.target_offset()] = converted<T>(finish(part));
    }
  }

  // The same for short rows: what `results_of(rows, results)` finds for some of them is finished.
  template <class Result, class ResultsOf, class Finish>
  void along_short_rows(std::size_t first, std::size_t last, ResultsOf results_of, Finish finish) const {
    room here(*this);
    row_reader& at = here.at;
    at.seek(0, plan.kept, first);
    Result results[chunk];
    constexpr std::size_t together = 16;  // rows that kernels like to have
    std::size_t most = is_in_memory() ? chunk : block / columns();
    if (most > together) most -= most % together;
    if (most > chunk) most = chunk;
    const std::ptrdiff_t down = loops.stride(0, plan.kept - 1);
    for (std::size_t left = last - first, count; left > 0; left -= count) {
      count = least(left, most, at.left(plan.kept - 1));
      results_of(elements(here, plan.kept - 1, count, 0, columns()), results);
      T* to = out + at.target_offset();
      for (std::size_t i = 0; i < count; ++i, to += down) *to = converted<T>(finish(results[i]));
      at.skip(0, plan.kept, count);
    }
  }

  // For positions [first, last) of the dimensions that stay, and groups of the innermost one: whole rows are combined.
  template <class Op>
  void across_rows(std::size_t first, std::size_t last, std::size_t reduced_count) const {
    R totals[group];
    for_each_group(
        first, last,
        [&](room& here, std::size_t i, std::size_t count) { combine_next<Op>(here, i, count, rows(), totals); },
        [&](std::size_t j) { return Op::finish(totals[j], reduced_count); });
  }
  // The same for places.
  template <class Choice>
  void places_across_rows(std::size_t first, std::size_t last) const {
    R best[group];
    place_type<R> places[group];
    const auto find = [&](room& here, std::size_t first_column, std::size_t count) {
      for_rows_in_order(here, first_column, count, rows(), [&](std::size_t row, std::size_t i, matrix<R> next) {
        if (row == 0) {
          std::memcpy(best + i, next.elements, next.columns * sizeof(R));
          std::memset(places + i, 0, next.columns * sizeof *places);
        }
        run_loop(places_in_columns<Choice, R>{next, static_cast<place_type<R>>(row), best + i, places + i});
      });
    };
    for_each_group(first, last, find, [&](std::size_t j) { return std::size_t{places[j]}; });
  }

  // Whole rows into the target itself, one after the other as they lie in memory, where the order of combining does not
  // matter; false, with nothing done, where it does, or the target is no row of results that stays in the cache.
  template <class Op>
  [[nodiscard]] bool in_target() const {
    if constexpr (Op::needs_elements && std::is_same_v<R, T>) {
      if (!plan.inner_kept || step() != 1 || columns() * sizeof(T) > 64 * 1024) return false;
      room here(*this);
      for (std::size_t left = loops.steps(0, plan.kept); left > 0; --left, here.at.next(0, plan.kept))
        combine_in_order<Op>(here, 0, columns(), rows(), out + here.at.target_offset());
      return true;
    } else {
      return false;
    }
  }

  // The same by a kernel, where both sides are plain rows of the same type; false, with nothing done, where not.
  template <class Op>
  [[nodiscard]] bool by_kernel(std::size_t reduced_count) const {
    if constexpr (std::is_same_v<R, T> && requires { Op::columns(out, 1, 1, 1, out); }) {
      if (!plan.inner_kept || inner() - plan.kept != 1 || !is_in_memory() || step() != 1) return false;
      row_reader at(source, loops);
      for (std::size_t left = loops.steps(0, plan.kept); left > 0; --left, at.next(0, plan.kept)) {
        T* const to = out + at.target_offset();
        Op::columns(static_cast<const R*>(at.elements(0, columns(), nullptr)), rows(), columns(),
                    loops.stride(1, plan.kept), to);
        for (std::size_t j = 0; j < columns(); ++j) to[j] = Op::finish(to[j], reduced_count);
      }
      return true;
    } else {
      return false;
    }
  }

 private:
  static constexpr std::size_t least(std::size_t a, std::size_t b, std::size_t c) noexcept {
    const std::size_t both = a < b ? a : b;
    return both < c ? both : c;
  }

  // Elements of a row, up to a block, or as many as there are where they can be seen in memory.
  [[nodiscard]] const R* elements(room& here, std::size_t first, std::size_t count) const {
    return static_cast<const R*>(here.at.elements(first, count, here.results));
  }
  // The same of several rows, which follow each other in that dimension.
  [[nodiscard]] matrix<R> elements(room& here, std::size_t dimension, std::size_t rows, std::size_t first,
                                   std::size_t columns) const {
    if (rows == 1) return {elements(here, first, columns), 1, columns, 0};
    if (is_in_memory()) return {elements(here, first, columns), rows, columns, loops.stride(1, dimension)};
    const auto next = static_cast<std::ptrdiff_t>(columns);
    here.at.write(first, columns, rows, dimension, here.results, next * static_cast<std::ptrdiff_t>(sizeof(R)), false);
    return {here.results, rows, columns, next};
  }

  // The next `rows` rows: where the order of combining matters, in pairs of halves.
  template <class Op>
  void combine_next(room& here, std::size_t first, std::size_t count, std::size_t rows, R* totals) const {
    const std::size_t few = 32 * rows_together(count);
    if (rows <= few || Op::needs_elements || std::is_integral_v<R>)
      return combine_in_order<Op>(here, first, count, rows, totals);
    combine_next<Op>(here, first, count, rows / 2, totals);
    R others[group];
    combine_next<Op>(here, first, count, rows - rows / 2, others);
    combine_columns<Op>(totals, matrix<R>{others, 1, count, 0});
  }

  // One after the other.
  template <class Op>
  void combine_in_order(room& here, std::size_t first, std::size_t count, std::size_t rows, R* totals) const {
    for_rows_in_order(here, first, count, rows, [&](std::size_t row, std::size_t i, matrix<R> next) {
      if (row == 0) {
        std::memcpy(totals + i, next.elements, next.columns * sizeof(R));
        next = {next.elements + next.stride, next.rows - 1, next.columns, next.stride};
      }
      combine_columns<Op>(totals + i, next);
    });
  }

  // f(row, i, matrix) for the next `rows` rows, some at a time, and their columns from `first` on, some at a time: from
  // that row on, and from first + i on.
  template <class F>
  void for_rows_in_order(room& here, std::size_t first, std::size_t count, std::size_t rows, F f) const {
    constexpr std::size_t narrow = block / 4;
    const std::size_t pace = is_in_memory() || count < narrow ? count : narrow;
    const std::size_t most = is_in_memory() ? rows : block / pace;
    for (std::size_t done = 0, some; done < rows; done += some) {
      some = least(rows - done, most, here.at.left(inner() - 1));
      for (std::size_t i = 0; i < count; i += pace)
        f(done, i, elements(here, inner() - 1, some, first + i, count - i < pace ? count - i : pace));
      here.at.skip(plan.kept, inner(), some);
    }
  }

  // For those positions and groups: reduces by reduce(room, first column, count), and takes the results from there.
  template <class Reduce, class Result>
  void for_each_group(std::size_t first, std::size_t last, Reduce reduce, Result result) const {
    room here(*this);
    here.at.seek(0, plan.kept, first / groups());
    for (std::size_t position = first; position < last; ++position) {
      const std::size_t i = position % groups() * group;
      const std::size_t count = columns() - i < group ? columns() - i : group;
      reduce(here, i, count);
      T* const to = out + here.at.target_offset() + static_cast<std::ptrdiff_t>(i) * step();
      for (std::size_t j = 0; j < count; ++j) to[static_cast<std::ptrdiff_t>(j) * step()] = converted<T>(result(j));
      if (position % groups() == groups() - 1) here.at.next(0, plan.kept);
    }
  }
};

// What does not depend on what the elements come from: for the usual types it is compiled once, into the library.
template <class Op, class R, class T = R>
struct reducer {
  // All elements of a node to one.
  [[nodiscard]] static R all(row_source& source, const nest& loops);
  // Neighbours in memory.
  [[nodiscard]] static R row(const R* elements, std::size_t count);
  // Some dimensions into the target.
  static void some(row_source& source, const nest& loops, const reduced_shape& reduced, bool parallel);
};

template <class Op, class R, class T>
R reducer<Op, R, T>::all(row_source& source, const nest& loops) {
  pairwise<Op, R> parts;
  visit_elements(source, loops, &parts, [](void* context, const void* elements, std::size_t count) {
    static_cast<pairwise<Op, R>*>(context)->add(static_cast<const R*>(elements), count);
    return false;
  });
  return parts.total();
}

template <class Op, class R, class T>
R reducer<Op, R, T>::row(const R* elements, std::size_t count) {
  pairwise<Op, R> parts;
  parts.add(elements, count);
  return parts.total();
}

template <class Op, class R, class T>
void reducer<Op, R, T>::some(row_source& source, const nest& loops, const reduced_shape& reduced, bool parallel) {
  const reduction_pass<R, T> pass(source, loops, reduced, false);
  const std::size_t count = reduced.count;
  if (!parallel && (pass.template by_kernel<Op>(count) || pass.template in_target<Op>())) return;
  pass.run(
      parallel, count,
      [&](std::size_t first, std::size_t last) {
        pass.template along_short_rows<R>(first, last, reduce_rows<Op, R>,
                                          [&](R result) { return Op::finish(result, pass.columns()); });
      },
      [&](std::size_t first, std::size_t last) {
        pass.template along_rows<pairwise<Op, R>>(
            first, last, [&](const pairwise<Op, R>& parts) { return Op::finish(parts.total(), count); });
      },
      [&](std::size_t first, std::size_t last) { pass.template across_rows<Op>(first, last, count); });
}

extern template struct reducer<sum_of, float>;
extern template struct reducer<sum_of, double>;
extern template struct reducer<mean_of, float>;
extern template struct reducer<mean_of, double>;
extern template struct reducer<choice_of<larger>, float>;
extern template struct reducer<choice_of<larger>, double>;
extern template struct reducer<choice_of<smaller>, float>;
extern template struct reducer<choice_of<smaller>, double>;

// A pass over the node of a reduction into the target, which has the dimensions that go with size 1.
template <class R, class T, class Node>
class reducing_pass {
 public:
  reducing_pass(const Node& node, const strided<T, Node::rank>& target, unsigned mask, std::size_t count) noexcept
      : shape_(node.shape()), target_(target), pass_(node, target_.as_operand()), mask_(mask), count_(count) {}

  [[nodiscard]] reduced_shape reduced() const noexcept { return {shape_.data(), Node::rank, mask_, count_}; }
  [[nodiscard]] row_source& source() noexcept { return pass_.source(); }
  [[nodiscard]] nest loops() noexcept { return pass_.loops(); }

 private:
  std::array<std::size_t, Node::rank> shape_;
  strided<T, Node::rank> target_;
  pass<R, Node, Node::rank> pass_;
  unsigned mask_;
  std::size_t count_;
};

// Where a node's elements go that are reduced afterwards.
template <class R, class Node>
[[nodiscard]] strided<R, Node::rank> row_of(R* memory, const Node& node) noexcept {
  return {memory, node.shape(), row_major(node.shape())};
}

// --- All elements

// Not inlined: what it needs of the stack, elements that are neighbours in memory do not.
template <class Op, class R, class Node>
[[nodiscard, gnu::noinline]] R reduce_scattered(const Node& node) {
  check_all(node);
  reading_pass<R, Node> here(node);
  return reducer<Op, R>::all(here.source(), here.loops());
}

template <class Op, class Node>
[[nodiscard]] auto reduce_all(const Node& node, const char* name) {
  using T = typename Node::value_type;
  using R = typename Op::template accumulator<T>;
  const std::size_t count = numel(std::array<std::size_t, Node::rank>(node.shape()));
  if (Op::needs_elements && count == 0) [[unlikely]]
    throw_no_elements(name);
  const auto result = [&](R whole) { return static_cast<typename Op::template result<T>>(Op::finish(whole, count)); };
  const auto of_row = [&](const R* elements) {
    if constexpr (requires { Op::total(elements, count); })
      return result(Op::total(elements, count));
    else
      return result(reducer<Op, R>::row(elements, count));
  };
  if constexpr (is_leaf<Node> && std::is_same_v<R, T>) {
    if (is_row_major(node.extents, node.strides)) return of_row(node.data);
  } else if constexpr (only_a_loop<Node, Node::rank>) {
    alignas(64) R few[chunk];
    if (count <= chunk && write_one_row(row_of(few, node), node)) return of_row(few);
  }
  return result(reduce_scattered<Op, R>(node));
}

template <class Op, class X>
[[nodiscard]] auto reduce_expression(X&& x, const char* name) {
  const auto node = detail::as_node(std::forward<X>(x));
  return reduce_all<Op>(detail::as_leaf(detail::ready(node, resource_for(nullptr, node))), name);
}

// Whether some element is `Wanted`.
template <bool Wanted, class X>
[[nodiscard]] bool find_truth(X&& x) {
  const auto node = detail::as_node(std::forward<X>(x));
  const auto& now = detail::ready(node, resource_for(nullptr, node));
  check_all(now);
  return has_element(detail::as_leaf(now), Wanted);
}

// --- Some dimensions

template <class Op, class A, unsigned Mask, bool Keep>
struct reduction : reduction_base<A, typename Op::template result<typename A::value_type>, Mask, Keep> {
  using base = reduction_base<A, typename Op::template result<typename A::value_type>, Mask, Keep>;
  using base::rank;
  using typename base::value_type;
  using R = typename Op::template accumulator<typename A::value_type>;

  reduction(A&& operand, const char* name) : base(std::move(operand), name, Op::needs_elements) {}

  [[nodiscard]] operator value_type() const
    requires(rank == 0)
  {
    return value_of(*this);
  }
  [[nodiscard]] value_type element(const std::size_t* index) const {
    pairwise<Op, R> parts;
    base::for_each_element(index, [&](auto element) { parts.add(static_cast<R>(element)); });
    return static_cast<value_type>(Op::finish(parts.total(), base::reduced_count()));
  }

  // Reduces by one call of a kernel, straight into a target of this shape: elements that are in memory and are not
  // overlapped by the target, or few elements, which a loop computes first. False, with nothing done, for all others.
  template <class T>
  [[nodiscard]] bool write_at_once(const strided<T, rank>& target) const {
    const auto& shape = base::operand_.shape();
    const std::size_t count = product(shape);
    if (count == 0 || !are_equal(base::shape_, target.shape)) return false;
    if constexpr (is_leaf<A>) {
      const auto& node = detail::as_leaf(base::operand_);
      return are_disjoint(node.data, count * sizeof(*node.data), target.data, product(target.shape) * sizeof(T)) &&
             in_one_call(target, node);
    } else {
      return few_in_one_call(target, base::operand_);
    }
  }

  template <class T, class Threads>
  void evaluate_into(const strided<T, rank>& target, Threads threads, std::pmr::memory_resource* resource) const {
    const auto& operand = detail::ready(base::operand_, resource);
    const auto& node = detail::as_leaf(operand);
    check_all(node);
    const std::size_t count = base::reduced_count();
    if (count == 0)
      return detail::evaluate_into(target, scalar<T>(converted<T>(Op::finish(Op::template identity<R>, 0))), threads,
                                   resource);
    if constexpr (!Threads::parallel)
      if (in_one_call(target, node) || few_in_one_call(target, node)) return;
    reducing_pass<R, T, std::remove_cvref_t<decltype(node)>> here(node, base::widened(target), Mask, count);
    reducer<Op, R, T>::some(here.source(), here.loops(), here.reduced(), Threads::parallel);
  }

 private:
  // Whether a kernel does it where the last dimensions go, or the first ones, for Ts; and for elements E.
  template <class T>
  static constexpr bool has_rows =
      ((Mask | (Mask - 1)) + 1) >> A::rank == 1 && requires(T* to) { Op::rows(to, 1, 1, 1, to); };
  template <class T>
  static constexpr bool has_columns = (Mask & (Mask + 1)) == 0 && requires(T* to) { Op::columns(to, 1, 1, 1, to); };
  template <class T, class E>
  static constexpr bool has_call = std::is_same_v<E, R> && std::is_same_v<R, T> && (has_rows<T> || has_columns<T>);

  // Rows without gaps of which the last dimensions go, or the first, as it mostly is: nothing has to be arranged.
  // False, with nothing done, where it is not that.
  template <class T, class Node>
  [[nodiscard]] static bool in_one_call(const strided<T, rank>& target, const Node& node) {
    if constexpr (is_leaf<Node> && has_call<T, typename Node::value_type>) {
      if (!is_row_major(node.extents, node.strides) || !is_row_major(target.shape, target.strides)) return false;
      const std::size_t results = product(target.shape), count = product(node.extents) / results;
      if constexpr (has_rows<T>)
        Op::rows(node.data, results, count, static_cast<std::ptrdiff_t>(count), target.data);
      else
        Op::columns(node.data, count, results, static_cast<std::ptrdiff_t>(results), target.data);
      for (std::size_t i = 0; i < results; ++i) target.data[i] = Op::finish(target.data[i], count);
      return true;
    } else {
      return false;
    }
  }

  // The same of few elements that a loop computes, on the stack first.
  template <class T, class Node>
  [[nodiscard]] static bool few_in_one_call(const strided<T, rank>& target, const Node& node) {
    if constexpr (only_a_loop<Node, Node::rank> && !is_leaf<Node> && has_call<T, R>) {
      alignas(64) R few[chunk];
      const strided<R, Node::rank> computed = row_of(few, node);
      return product(computed.shape) <= chunk && is_row_major(target.shape, target.strides) &&
             write_one_row(computed, node) &&
             in_one_call(target, leaf<R, Node::rank>(few, computed.shape, computed.strides, nullptr));
    } else {
      return false;
    }
  }
};

// The place of the first element that Choice prefers to all others.
template <class Choice, class A, unsigned Mask, bool Keep>
struct place_reduction : reduction_base<A, std::size_t, Mask, Keep> {
  using base = reduction_base<A, std::size_t, Mask, Keep>;
  using base::rank;
  using E = typename A::value_type;
  using search = first_choice<E, Choice>;

  place_reduction(A&& operand, const char* name) : base(std::move(operand), name, true) {}

  [[nodiscard]] operator std::size_t() const
    requires(rank == 0)
  {
    return value_of(*this);
  }
  [[nodiscard]] std::size_t element(const std::size_t* index) const {
    search first;
    base::for_each_element(index, [&](E element) { first.add(&element, 1); });
    return first.place();
  }

  template <class T, class Threads>
  void evaluate_into(const strided<T, rank>& target, Threads, std::pmr::memory_resource* resource) const {
    const auto& operand = detail::ready(base::operand_, resource);
    const auto& node = detail::as_leaf(operand);
    check_all(node);
    const std::size_t count = base::reduced_count();
    reducing_pass<E, T, std::remove_cvref_t<decltype(node)>> here(node, base::widened(target), Mask, count);
    const reduction_pass<E, T> pass(here.source(), here.loops(), here.reduced(), true);
    const auto place = [](std::size_t found) { return found; };
    pass.run(
        Threads::parallel, count,
        [&](std::size_t first, std::size_t last) {
          pass.template along_short_rows<std::size_t>(first, last, find_places<Choice, E>, place);
        },
        [&](std::size_t first, std::size_t last) {
          pass.template along_rows<search>(first, last, [](const search& found) { return found.place(); });
        },
        [&](std::size_t first, std::size_t last) { pass.template places_across_rows<Choice>(first, last); });
  }
};

template <class X>
inline constexpr std::size_t rank_of = std::remove_cvref_t<X>::rank;

template <class X, int... Axis>
concept reducible = operand_expression<X> && axes_fit<rank_of<X>, Axis...>;

// What may follow the operand: nothing, axes<...>, axes<...> and keepdims, or keepdims. Which dimensions go, and
// whether they stay.
template <std::size_t Rank, class... How>
struct reduced_dimensions;
template <std::size_t Rank>
struct reduced_dimensions<Rank, keepdims_t> {
  static constexpr unsigned mask = all_axes<Rank>;
  static constexpr bool keep = true;
};
template <std::size_t Rank, int... Axis>
  requires axes_fit<Rank, Axis...>
struct reduced_dimensions<Rank, axes_t<Axis...>> {
  static constexpr unsigned mask = axes_mask<Rank, Axis...>;
  static constexpr bool keep = false;
};
template <std::size_t Rank, int... Axis>
  requires axes_fit<Rank, Axis...>
struct reduced_dimensions<Rank, axes_t<Axis...>, keepdims_t> : reduced_dimensions<Rank, axes_t<Axis...>> {
  static constexpr bool keep = true;
};
template <class X, class... How>
concept reduced_over =
    operand_expression<X> && (sizeof...(How) == 0 || requires { reduced_dimensions<rank_of<X>, How...>::mask; });

template <class Op, class X, class... How>
[[nodiscard]] auto reduce(const char* name, X&& x, How...) {
  if constexpr (sizeof...(How) != 0) {
    using over = reduced_dimensions<rank_of<X>, How...>;
    auto node = detail::as_node(std::forward<X>(x));
    return reduction<Op, decltype(node), over::mask, over::keep>(std::move(node), name);
  } else if constexpr (requires { Op::wanted; }) {
    return detail::find_truth<Op::wanted>(std::forward<X>(x)) == Op::wanted;
  } else {
    return detail::reduce_expression<Op>(std::forward<X>(x), name);
  }
}

template <class Choice, class X, class... How>
  requires(sizeof...(How) > 0)
[[nodiscard]] auto place_of(const char* name, X&& x, How...) {
  using over = reduced_dimensions<rank_of<X>, How...>;
  auto node = detail::as_node(std::forward<X>(x));
  return place_reduction<Choice, decltype(node), over::mask, over::keep>(std::move(node), name);
}
template <class Choice, class X>
[[nodiscard]] std::size_t place_of(const char* name, X&& x) {
  auto node = detail::as_node(std::forward<X>(x));
  const place_reduction<Choice, decltype(node), all_axes<rank_of<X>>, false> reduced(std::move(node), name);
  std::size_t place = 0;
  reduced.evaluate_into(strided<std::size_t, 0>{&place, {}, {}}, on_this_thread{}, resource_for(nullptr, reduced));
  return place;
}

}  // namespace buffers::detail

export namespace buffers {

/// The sum of all elements. As all functions here, over axes<...> it is an expression of the dimensions that are left;
/// with keepdims behind axes<...>, or alone for all dimensions, of as many as the operand has, those with size 1.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto sum(X&& x, How... how) {
  return detail::reduce<detail::sum_of>("sum", std::forward<X>(x), how...);
}
/// The mean.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto mean(X&& x, How... how) {
  return detail::reduce<detail::mean_of>("mean", std::forward<X>(x), how...);
}
/// The largest element; std::invalid_argument when there is none.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto max(X&& x, How... how) {
  return detail::reduce<detail::choice_of<detail::larger>>("max", std::forward<X>(x), how...);
}
/// The smallest element; std::invalid_argument when there is none.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto min(X&& x, How... how) {
  return detail::reduce<detail::choice_of<detail::smaller>>("min", std::forward<X>(x), how...);
}
/// The place of the first maximum in row-major order; of the first that is not a number, if there is one. Throws
/// std::invalid_argument when there are no elements.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto argmax(X&& x, How... how) {
  return detail::place_of<detail::larger>("argmax", std::forward<X>(x), how...);
}
/// The place of the first minimum in row-major order; of the first that is not a number, if there is one. Throws
/// std::invalid_argument when there are no elements.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto argmin(X&& x, How... how) {
  return detail::place_of<detail::smaller>("argmin", std::forward<X>(x), how...);
}
/// Whether any element is true, or not zero.
template <class X, class... How>
  requires detail::reduced_over<X, How...>
[[nodiscard]] auto any(X&& x, How... how) {
  return detail::reduce<detail::any_of>("any", std::forward<X>(x), how...);
}

}  // namespace buffers
