// The loops that evaluation runs over several operands at once: dimensions in the order in which memory is walked best,
// merged where no operand has a gap between them, so that contiguous operands make one long loop of any rank. What does
// not depend on types is compiled once, into the library: all but the innermost loop, which row_functions point to.
module;
#include <cstddef>
export module buffers.tensor:loops;
import buffers.core;

namespace buffers::detail {

// Elements that are computed at a time where one pass cannot do it all: they stay in the first-level cache.
inline constexpr std::size_t chunk = 512;
// ... that are gathered or computed for a single loop: they still do, and a call costs little of them.
inline constexpr std::size_t several_chunks = 4 * chunk;

// Where the elements of a target or of an operand are.
struct operand {
  const void* data;
  std::size_t element_bytes;
  std::size_t rank;
  const std::size_t* shape;
  const std::ptrdiff_t* strides;
};

// Whether no two indices have the same place: each stride passes over all that the smaller ones reach. False as well in
// contrived cases where they have not.
[[nodiscard]] bool are_apart(const operand& elements) noexcept;

enum class overlap {
  none,
  same,    // only elements of the same index share memory: computing in place, element by element, is right
  shifted  // a write to the target may change an element of the operand that is still to be read
};

// What a write to the target does to the operands: the worst over all of them. Exact in all but contrived cases, where
// it says `shifted`.
[[nodiscard]] overlap overlap_of(const operand& target, const operand* sources, std::size_t count) noexcept;

// Dimensions with their extents, and for each operand its strides; `pitch` entries are there for an operand.
struct nest {
  std::size_t rank;
  std::size_t* shape;
  std::ptrdiff_t* strides;
  std::size_t operands;
  std::size_t pitch;

  [[nodiscard]] inline std::ptrdiff_t& stride(std::size_t k, std::size_t d) const noexcept {
    return strides[k * pitch + d];
  }
  // The number of steps over the dimensions [from, to).
  [[nodiscard]] inline std::size_t steps(std::size_t from, std::size_t to) const noexcept {
    std::size_t count = 1;
    for (std::size_t d = from; d < to; ++d) count *= shape[d];
    return count;
  }
};

// Memory for a nest of so many dimensions, and one more.
template <std::size_t Operands, std::size_t Rank>
class nest_memory {
 public:
  [[nodiscard]] inline nest empty() noexcept { return {0, shape_, strides_, Operands, Rank + 1}; }

 private:
  std::size_t shape_[Rank + 1];
  std::ptrdiff_t strides_[Operands * (Rank + 1)];
};

// How a pass is run: on this thread, or on several. Types, so that what only one thread does is compiled for it alone.
struct on_this_thread {
  static constexpr bool parallel = false;
};
struct on_all_threads {
  static constexpr bool parallel = true;
};

// body(context, first, last) for parts of [0, count) that have at least `grain`, on the threads of oneTBB.
void in_parallel(std::size_t count, std::size_t grain, void* context,
                 void (*body)(void* context, std::size_t first, std::size_t last));

// --- Rows

// A part of a row of a node: where it is in each leaf, as neighbours, and memory for chunks.
struct row_request {
  static constexpr auto repeated = static_cast<std::size_t>(-1);

  const void* const* elements;
  std::size_t count;
  std::byte* scratch;
};
// ... but for one leaf, of which all of the row is the same element.
template <std::size_t Leaf>
struct repeating_request : row_request {
  static constexpr std::size_t repeated = Leaf;
};

// Rows that follow each other: how many, and how many bytes further one is than the one before, in what is written and
// in each leaf.
struct row_steps {
  std::size_t rows;
  std::ptrdiff_t target;
  const std::ptrdiff_t* leaves;
};

using rows_writer = void (*)(const void* node, const row_request& request, const row_steps& steps, void* to);

// What is compiled for each node, and the type that its elements are wanted as.
struct row_functions {
  // Writes rows, each as neighbours. Null where the elements of the one leaf are what is wanted.
  rows_writer write;
  // ... for each leaf, where that one is asked for as repeating_request says. Null where these are not compiled.
  const rows_writer* repeating;
  // What is done with elements after that; null where nothing is.
  void (*finish)(const void* from, void* to, std::size_t count, bool past_caches);
  std::size_t element_bytes;  // of what is written
  bool in_chunks;             // `write` is asked for no more than a chunk at a time
};

// A node that is ready, and its operands: first the target, then the leaves.
struct row_source {
  const void* node;
  row_functions functions;
  operand* operands;
  std::size_t count;
  std::size_t repeated = 0;  // the operand that `functions.write` wants as repeating_request says; 0 for none

  [[nodiscard]] inline bool is_leaf() const noexcept {
    return functions.write == nullptr && functions.finish == nullptr;
  }
};

// Operands of an expression, the target among them, and its dimensions.
inline constexpr std::size_t most_operands = 128, most_dimensions = 64;

// A place in arranged dimensions, and the rows of a node from there on: what is not neighbours in memory is gathered
// first. On the stack of whoever runs a part of a pass.
class row_reader {
  static constexpr std::size_t room_bytes = std::size_t{32} << 10;

 public:
  row_reader(const row_source& source, const nest& loops) noexcept;
  row_reader(const row_reader&) = delete;

  // An index in the dimensions [from, to), and for each operand the distance from where it began. `seek` goes to a step
  // of them from step 0; `next` goes one step on, after the last one to step 0 again; `skip` as many, of which the last
  // of the dimensions has to have as many left.
  void seek(std::size_t from, std::size_t to, std::size_t step) noexcept;
  void next(std::size_t from, std::size_t to) noexcept;
  void skip(std::size_t from, std::size_t to, std::size_t steps) noexcept;
  void rewind() noexcept;
  [[nodiscard]] inline std::ptrdiff_t target_offset() const noexcept { return offset_[0]; }
  // The steps that are left in a dimension, with the one at hand.
  [[nodiscard]] inline std::size_t left(std::size_t dimension) const noexcept {
    return loops_.shape[dimension] - index_[dimension];
  }

  // Writes the columns from `first` on of rows that follow each other in a dimension, `row_bytes` apart.
  void write(std::size_t first, std::size_t columns, std::size_t rows, std::size_t dimension, void* to,
             std::ptrdiff_t row_bytes, bool past_caches);
  // Columns of the row at hand where they are, or in memory for as many and the rest of a line of 64 bytes.
  [[nodiscard]] const void* elements(std::size_t first, std::size_t columns, void* memory);
  // f(elements, count) for all rows of the dimensions from `from` on, beginning with the first, where it is then again,
  // or until f returns true. The elements are where they are, or in memory for pace() of them and the rest of a line.
  template <class F>
  void each_row(std::size_t from, void* memory, F f);
  // Memory for pace() elements of what is written: fewer where there are very many operands.
  [[nodiscard]] inline void* results() const noexcept { return slot(0); }
  [[nodiscard]] inline std::size_t pace() const noexcept { return pace_; }

 private:
  [[nodiscard]] inline std::byte* slot(std::size_t operand) const noexcept { return slots_ + operand * slot_bytes_; }
  [[nodiscard]] const std::byte* place_of(std::size_t operand, std::size_t column) const noexcept;
  void point(std::size_t first, std::size_t columns, std::size_t row, std::size_t rows, std::size_t dimension,
             bool further) noexcept;

  const row_source& source_;
  const nest& loops_;
  std::ptrdiff_t* offset_;
  std::ptrdiff_t* step_;  // of the innermost dimension
  const void** at_;       // of the part of a row at hand
  std::ptrdiff_t* down_;  // in bytes, from a row to the next
  std::size_t* index_;
  std::byte* slots_;
  std::size_t slot_bytes_;
  std::size_t pace_;
  bool dense_;    // each leaf's elements are as they are wanted in the innermost dimension: neighbours, or one
  bool repeats_;  // a leaf's element along the innermost dimension
  alignas(64) std::byte room_[room_bytes];

  static_assert(most_operands * (4 * sizeof(void*) + 3 * 64) + (most_dimensions + 1) * sizeof(std::size_t) <=
                room_bytes);
};

template <class F>
void row_reader::each_row(std::size_t from, void* memory, F f) {
  // Several at a time, as neighbours, where the memory has room for them: each call of f has its price.
  constexpr std::size_t short_row = 128;
  const std::size_t inner = loops_.rank - 1, columns = loops_.shape[inner], rows = loops_.steps(from, inner);
  if (inner > from && columns <= short_row && 2 * columns <= pace_) {
    const auto row_bytes = static_cast<std::ptrdiff_t>(columns * source_.functions.element_bytes);
    const std::size_t most = pace_ / columns;
    for (std::size_t row = 0, n; row < rows; row += n, skip(from, inner, n)) {
      n = rows - row < most ? rows - row : most;
      if (n > left(inner - 1)) n = left(inner - 1);
      write(0, columns, n, inner - 1, memory, row_bytes, false);
      if (f(memory, n * columns)) return;
    }
    return;
  }
  const std::size_t pace = source_.is_leaf() && step_[1] == 1 ? columns : pace_;
  for (std::size_t row = 0; row < rows; ++row, next(from, inner))
    for (std::size_t i = 0, n; i < columns; i += n) {
      n = columns - i < pace ? columns - i : pace;
      if (f(elements(i, n, memory), n)) return;
    }
}

// The shape of what is reduced, which is the node's.
struct reduced_shape {
  const std::size_t* shape;
  std::size_t rank;
  unsigned mask;      // a bit for each dimension that goes
  std::size_t count;  // of elements that make one
};
struct reduction_plan {
  std::size_t kept;
  bool inner_kept;
};
// The dimensions of a reduction: first those that are kept, of which there are `kept`, then those that go, and, when
// that is where memory is contiguous, a kept one at the end. In those that go the target has strides of 0 and size 1.
// With `in_order` they are in their order, for places.
[[nodiscard]] reduction_plan arrange_reduction(nest& loops, row_source& source, const reduced_shape& reduced,
                                               bool in_order) noexcept;

// Targets of so many bytes are written past the caches, which they would only sweep: memory that is about to be written
// as a whole need not be read before.
inline constexpr std::size_t least_streamed = std::size_t{32} << 20;

// Writes so many elements of a node one after the other, beginning where the target and, after the first of `at`, the
// leaves do: none shares memory with one of another index.
void write_row(const row_source& source, const void** at, std::size_t count);

// Writes a node's elements into the target; false, with nothing done, where that would change elements that are still
// to be read, which is not looked at when the target is known to be `apart` from all operands.
[[nodiscard]] bool write_elements(row_source& source, nest loops, bool parallel, bool apart);

// f(context, elements, count) for all elements of a node, in the order in which memory is walked best, until f returns
// true. The target is only a shape. Elements that are wanted as they are in memory are seen there.
void visit_elements(row_source& source, nest loops, void* context,
                    bool (*f)(void* context, const void* elements, std::size_t count));
// Whether an element of a node, whose elements are bools, is that one.
[[nodiscard]] bool find_element(row_source& source, nest loops, bool wanted);

}  // namespace buffers::detail
