// The loops that evaluation runs over several operands at once: dimensions in the order in which memory is walked best,
// merged where no operand has a gap between them, so that contiguous operands make one long loop of any rank. What does
// not depend on types is compiled once, into the library.
module;
#include <cstddef>
export module buffers.tensor:loops;
import buffers.core;

namespace buffers::detail {

// Elements that are computed at a time where one pass cannot do it all: they stay in the first-level cache.
inline constexpr std::size_t chunk = 512;

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
  same,    // each element of the target is where the operand's element of the same index is, if anywhere
  shifted  // a write to the target may change an element of the operand that is still to be read
};

// What a write to the target does to an operand. Exact in all but contrived cases, where it says `shifted`.
[[nodiscard]] overlap overlap_of(const operand& target, const operand& source) noexcept;
// The worst over all operands.
[[nodiscard]] overlap overlap_of(const operand& target, const operand* sources, std::size_t count) noexcept;

// Dimensions with their extents, and for each operand its strides; `pitch` entries are there for an operand.
struct nest_ref {
  std::size_t& rank;
  std::size_t* shape;
  std::ptrdiff_t* strides;
  std::size_t operands;
  std::size_t pitch;
};

// The dimensions of `operands[0]` for a pass over all its elements in whatever order. At least one is left.
void arrange(nest_ref loops, const operand* operands) noexcept;

// The dimensions of a reduction over an array of that shape: first those that are kept, of which there are `kept`, then
// those that go, and, when that is where memory is contiguous, a kept one at the end. operands[0] is the target and has
// strides of 0 in the dimensions that go. With `in_order`, those that go are at the end and in their order.
struct reduction_plan {
  std::size_t kept;
  bool inner_kept;
};
[[nodiscard]] reduction_plan arrange_reduction(nest_ref loops, const std::size_t* shape, std::size_t rank,
                                               unsigned reduced, const operand* operands, bool in_order) noexcept;

// `count` elements, `stride` apart, to where they are neighbours, with room up to the end of the last one's 64 bytes;
// and back.
void gather(void* to, const void* from, std::ptrdiff_t stride, std::size_t count, std::size_t element_bytes) noexcept;
void scatter(void* to, std::ptrdiff_t stride, const void* from, std::size_t count, std::size_t element_bytes) noexcept;

// A copy in which neighbours in one dimension become neighbours in another; false, with nothing done, when it is not
// that.
[[nodiscard]] bool copy_transposed(std::size_t rank, const std::size_t* shape, const std::ptrdiff_t* to_strides,
                                   const std::ptrdiff_t* from_strides, const void* from, void* to,
                                   std::size_t element_bytes) noexcept;

// How a pass is run: on this thread, or on several. Types, so that programs that ask for one thread have no code for
// more.
struct on_this_thread {
  static constexpr bool parallel = false;
};
struct on_all_threads {
  static constexpr bool parallel = true;
};

// body(context, first, last) for parts of [0, count) that have at least `grain`, on the threads of oneTBB.
void in_parallel(std::size_t count, std::size_t grain, void* context,
                 void (*body)(void* context, std::size_t first, std::size_t last));

// Dimensions that are arranged.
struct dimensions {
  const std::size_t* shape;
  const std::ptrdiff_t* strides;
  std::size_t operands;
  std::size_t pitch;
};

// A place in the dimensions [from, to): an index, and for each operand the distance from where it began. `seek` goes to
// a step of them from step 0; `next` goes one step on, after the last one to step 0 again; `skip` as many, of which the
// last of the dimensions has to have as many left.
void seek(const dimensions& loops, std::ptrdiff_t* offset, std::size_t* index, std::size_t from, std::size_t to,
          std::size_t step) noexcept;
void next(const dimensions& loops, std::ptrdiff_t* offset, std::size_t* index, std::size_t from,
          std::size_t to) noexcept;
void skip(const dimensions& loops, std::ptrdiff_t* offset, std::size_t* index, std::size_t from, std::size_t to,
          std::size_t steps) noexcept;

// A part of the innermost dimension: where each leaf of a node is, how far apart its elements are, and memory for
// chunks.
struct row_request {
  const std::ptrdiff_t* offsets;
  const std::ptrdiff_t* steps;
  std::size_t first;
  std::size_t count;
  std::byte* scratch;
};

// Rows that follow each other: how many, and how much further one is than the one before, in the target (the first of
// the strides) and in each leaf of a node (the others, `pitch` apart).
struct row_steps {
  std::size_t rows;
  const std::ptrdiff_t* strides;
  std::size_t pitch;
};

// Targets of so many bytes are written past the caches, which they would only sweep: memory that is about to be written
// as a whole need not be read before.
inline constexpr std::size_t least_streamed = std::size_t{32} << 20;

// Writes a node's elements into a target, row by row: the loops around the one over neighbouring elements, the same for
// all types. Operand 0 is the target.
struct row_pass {
  // On the stack of whoever runs a part.
  struct room {
    std::ptrdiff_t* offsets;
    std::ptrdiff_t* steps;
    std::size_t* index;
    std::byte* scratch;  // of the node
    std::byte* results;  // a chunk of the target's elements
  };

  dimensions loops;
  std::size_t rank;
  const void* node;
  void (*write_rows)(const void* node, const row_request& request, const row_steps& steps, void* out, bool past_caches);
  // Calls write_part() with room for it.
  void (*run)(const row_pass& pass, std::size_t first_row, std::size_t last_row, std::size_t first, std::size_t last);
  void* out;
  std::size_t element_bytes;
  bool in_chunks;  // the node computes no more than a chunk at a time
  bool in_place;   // the target's elements are also operands' elements of the same index
};
void write_all(const row_pass& pass);
void write_all_in_parallel(const row_pass& pass);
// The columns [first, last) of the rows [first_row, last_row).
void write_part(const row_pass& pass, const row_pass::room& room, std::size_t first_row, std::size_t last_row,
                std::size_t first, std::size_t last);

template <std::size_t Operands, std::size_t Rank>
struct nest {
  static constexpr std::size_t pitch = Rank == 0 ? 1 : Rank;
  std::size_t rank = 0;
  std::size_t shape[pitch];
  std::ptrdiff_t strides[Operands * pitch];

  nest_ref ref() noexcept { return {rank, shape, strides, Operands, pitch}; }
  dimensions view() const noexcept { return {shape, strides, Operands, pitch}; }
  std::ptrdiff_t stride(std::size_t operand, std::size_t d) const noexcept { return strides[operand * pitch + d]; }
  // One dimension: so many neighbours of each operand.
  void flatten(std::size_t count) noexcept {
    rank = 1;
    shape[0] = count;
    for (std::size_t k = 0; k < Operands; ++k) strides[k * pitch] = 1;
  }
  // The number of steps over the dimensions [from, to).
  std::size_t steps(std::size_t from, std::size_t to) const noexcept {
    std::size_t count = 1;
    for (std::size_t d = from; d < to; ++d) count *= shape[d];  // NOLINT(clang-analyzer-core.uninitialized.Assign)
    return count;
  }
};

// A place in some of a nest's dimensions.
template <std::size_t Operands, std::size_t Rank>
class place_in {
 public:
  explicit place_in(const nest<Operands, Rank>& loops) noexcept : loops_(loops.view()) {}

  std::ptrdiff_t offset[Operands] = {};

  void seek(std::size_t from, std::size_t to, std::size_t step) noexcept {
    detail::seek(loops_, offset, index_, from, to, step);
  }
  void next(std::size_t from, std::size_t to) noexcept { detail::next(loops_, offset, index_, from, to); }
  void skip(std::size_t from, std::size_t to, std::size_t steps) noexcept {
    detail::skip(loops_, offset, index_, from, to, steps);
  }
  // The steps that are left in a dimension, with the one at hand.
  [[nodiscard]] std::size_t left(std::size_t dimension) const noexcept {
    return loops_.shape[dimension] - index_[dimension];
  }

 private:
  dimensions loops_;
  std::size_t index_[nest<Operands, Rank>::pitch] = {};
};

}  // namespace buffers::detail
