module;
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>
module buffers.tensor;

namespace buffers::detail {
namespace {

// --- Overlap. Two arrays share a byte when i * s - j * t + k = distance has a solution with each index within its
// extent, and k the distance within elements. The terms are tried from the largest stride down, each leaving a rest
// that the smaller ones must be able to make up; the number of tries is bounded.

struct term {
  std::size_t stride;  // in bytes
  std::size_t count;   // 0 .. count of them may be taken
};

class equation {
 public:
  bool add(const operand& array, std::ptrdiff_t sign, std::ptrdiff_t& wanted) noexcept {
    for (std::size_t d = 0; d < array.rank; ++d) {
      const std::size_t extent = array.shape[d];
      if (extent == 1 || array.strides[d] == 0) continue;
      if (used_ == terms_.size()) return false;
      const std::ptrdiff_t stride = sign * array.strides[d] * static_cast<std::ptrdiff_t>(array.element_bytes);
      if (stride < 0) wanted -= stride * static_cast<std::ptrdiff_t>(extent - 1);  // count from the other end
      terms_[used_++] = {magnitude(stride), extent - 1};
    }
    return true;
  }
  bool add(term within_element) noexcept {
    if (within_element.count == 0) return true;
    if (used_ == terms_.size()) return false;
    terms_[used_++] = within_element;
    return true;
  }

  bool solvable(std::ptrdiff_t wanted) noexcept {
    std::sort(terms_.begin(), terms_.begin() + static_cast<std::ptrdiff_t>(used_),
              [](const term& a, const term& b) { return a.stride > b.stride; });
    merge();
    reach_[used_] = 0;
    for (std::size_t i = used_; i-- > 0;)
      reach_[i] = reach_[i + 1] + static_cast<std::ptrdiff_t>(terms_[i].stride * terms_[i].count);
    tries_ = 10'000;
    return solvable(0, wanted);
  }

 private:
  // Terms of the same stride, as of two columns of one matrix, are one.
  void merge() noexcept {
    std::size_t merged = 0;
    for (std::size_t i = 1; i < used_; ++i)
      if (terms_[i].stride == terms_[merged].stride)
        terms_[merged].count += terms_[i].count;
      else
        terms_[++merged] = terms_[i];
    used_ = std::min(used_, merged + 1);
  }
  bool solvable(std::size_t i, std::ptrdiff_t rest) noexcept {
    if (rest < 0 || rest > reach_[i]) return false;
    if (rest == 0 || i == used_) return rest == 0;
    const auto stride = static_cast<std::ptrdiff_t>(terms_[i].stride);
    const std::ptrdiff_t over = rest - reach_[i + 1];
    const std::ptrdiff_t least = over > 0 ? (over + stride - 1) / stride : 0;
    const std::ptrdiff_t most = std::min(static_cast<std::ptrdiff_t>(terms_[i].count), rest / stride);
    for (std::ptrdiff_t n = most; n >= least; --n) {
      if (tries_-- == 0) return true;  // contrived: take it that there is one
      if (solvable(i + 1, rest - n * stride)) return true;
    }
    return false;
  }

  std::array<term, 32> terms_;
  std::array<std::ptrdiff_t, 33> reach_;
  std::size_t used_ = 0;
  std::size_t tries_ = 0;
};

bool share_memory(const operand& a, const operand& b) noexcept {
  equation in_bytes;
  // a + i * s + k = b + j * t + m with 0 <= k < bytes of a, 0 <= m < bytes of b
  std::ptrdiff_t wanted = static_cast<const char*>(b.data) - static_cast<const char*>(a.data);
  const bool fits = in_bytes.add(a, 1, wanted) && in_bytes.add(b, -1, wanted);
  wanted += static_cast<std::ptrdiff_t>(b.element_bytes - 1);
  return !fits || !in_bytes.add({1, a.element_bytes + b.element_bytes - 2}) || in_bytes.solvable(wanted);
}

// The first byte of an array and the one after its last; of one without elements, none.
struct byte_range {
  std::uintptr_t first, end;
};
byte_range bytes_of(const operand& array) noexcept {
  auto first = reinterpret_cast<std::uintptr_t>(array.data), last = first;
  for (std::size_t d = 0; d < array.rank; ++d) {
    if (array.shape[d] == 0) return {0, 0};
    const auto way = (array.shape[d] - 1) * magnitude(array.strides[d]) * array.element_bytes;
    if (array.strides[d] < 0)
      first -= way;
    else
      last += way;
  }
  return {first, last + array.element_bytes};
}

// Whether each index has one place, the same in both; the source may be repeated to the target's shape.
bool is_same_place(const operand& target, const operand& source) noexcept {
  if (target.data != source.data || target.element_bytes != source.element_bytes || target.rank < source.rank)
    return false;
  const std::size_t ahead = target.rank - source.rank;
  for (std::size_t d = 0; d < target.rank; ++d) {
    if (target.shape[d] == 1) continue;
    if (d < ahead || source.shape[d - ahead] != target.shape[d]) return false;
    if (target.strides[d] == 0 || source.strides[d - ahead] != target.strides[d]) return false;
  }
  return are_apart(target);
}

// --- Nests

constexpr std::ptrdiff_t far_apart = std::ptrdiff_t{1} << 40;

struct dims {
  nest& loops;

  std::ptrdiff_t& stride(std::size_t k, std::size_t d) const noexcept { return loops.stride(k, d); }
  void swap(std::size_t a, std::size_t b) const noexcept {
    std::swap(loops.shape[a], loops.shape[b]);
    for (std::size_t k = 0; k < loops.operands; ++k) std::swap(stride(k, a), stride(k, b));
  }
  // Dimension d becomes the last of [.., last], those after it move up.
  void move_to(std::size_t d, std::size_t last) const noexcept {
    for (; d < last; ++d) swap(d, d + 1);
  }
  // Appends a dimension of the shape to the nest, with operands aligned at their last dimension.
  void append(const std::size_t* shape, std::size_t rank, std::size_t d, const operand* operands) const noexcept {
    loops.shape[loops.rank] = shape[d];
    for (std::size_t k = 0; k < loops.operands; ++k) {
      const operand& o = operands[k];
      const std::size_t ahead = rank - o.rank;
      stride(k, loops.rank) = d < ahead || o.shape[d - ahead] == 1 ? 0 : o.strides[d - ahead];
    }
    ++loops.rank;
  }
  // Merges dimensions within [from, to) that have no gap between them, and returns the new end.
  std::size_t merge(std::size_t from, std::size_t to) const noexcept {
    for (std::size_t d = from; d + 1 < to;) {
      bool without_gap = true;
      for (std::size_t k = 0; k < loops.operands; ++k)
        without_gap &= stride(k, d) == stride(k, d + 1) * static_cast<std::ptrdiff_t>(loops.shape[d + 1]);
      if (!without_gap) {
        ++d;
        continue;
      }
      loops.shape[d + 1] *= loops.shape[d];
      for (std::size_t e = d; e + 1 < loops.rank; ++e) {
        loops.shape[e] = loops.shape[e + 1];
        for (std::size_t k = 0; k < loops.operands; ++k) stride(k, e) = stride(k, e + 1);
      }
      --loops.rank;
      --to;
    }
    return to;
  }
  // How far apart the elements of all operands but the target are: small where memory is dense.
  std::size_t cost(std::size_t d) const noexcept {
    std::size_t sum = 0;
    for (std::size_t k = 1; k < loops.operands; ++k) sum += magnitude(stride(k, d));
    return sum;
  }
};

// Elements are moved as bytes, whatever they mean: as one word.
template <std::size_t Bytes>
struct word {
  typedef std::uint64_t type __attribute__((vector_size(16), may_alias));
};
template <>
struct word<8> {
  typedef std::uint64_t type __attribute__((may_alias));
};
template <>
struct word<4> {
  typedef std::uint32_t type __attribute__((may_alias));
};
template <>
struct word<2> {
  typedef std::uint16_t type __attribute__((may_alias));
};
template <>
struct word<1> {
  typedef std::uint8_t type __attribute__((may_alias));
};

// Rows of elements that are `stride` apart, and where they become neighbours, with room up to the end of the last one's
// 64 bytes. From a row to the next it is so many bytes.
struct gathering {
  std::byte* to;
  std::ptrdiff_t to_row;
  const std::byte* from;
  std::ptrdiff_t from_row;
  std::ptrdiff_t stride;
  std::size_t columns, rows;

  // row(to, from, columns, stride) for each row, from a copy that no store changes.
  template <class Row>
  [[gnu::always_inline]] inline void each(Row row) const {
    const gathering here = *this;
    std::byte* out = here.to;
    const std::byte* in = here.from;
    for (std::size_t left = here.rows; left > 0; --left, out += here.to_row, in += here.from_row)
      row(out, in, here.columns, here.stride);
  }
};

// One word over and over, up to the end of a line of 64 bytes.
template <std::size_t Bytes>
struct repeat_loop {
  using cell = typename word<Bytes>::type;
  const gathering& rows;

  [[gnu::always_inline]] inline void operator()() const {
    rows.each([](std::byte* to, const std::byte* from, std::size_t count, std::ptrdiff_t)
                  __attribute__((always_inline)) {
                    constexpr std::size_t line = 64 / Bytes;
                    auto* const out = reinterpret_cast<cell*>(to);
                    const cell one = *reinterpret_cast<const cell*>(from);
                    for (std::size_t i = 0; i < count; i += line)
                      for (std::size_t k = 0; k < line; ++k) out[i + k] = one;
                  });
  }
};

// Strides that the compiler knows, for which it has vector instructions.
template <std::size_t Bytes, std::ptrdiff_t Stride>
struct gather_loop {
  using cell = typename word<Bytes>::type;
  const gathering& rows;

  [[gnu::always_inline]] inline void operator()() const {
    rows.each([](std::byte* to, const std::byte* from, std::size_t count, std::ptrdiff_t)
                  __attribute__((always_inline)) {
                    auto* const out = reinterpret_cast<cell*>(to);
                    const auto* const in = reinterpret_cast<const cell*>(from);
                    for_each_independent(count, [=](std::size_t i) __attribute__((always_inline)) {
                      out[i] = in[static_cast<std::ptrdiff_t>(i) * Stride];
                    });
                  });
  }
};

template <std::size_t Bytes>
struct mover {
  using cell = typename word<Bytes>::type;
  static void gather(const gathering& rows) noexcept {
    if (rows.stride == 0) return run_loop(repeat_loop<Bytes>{rows});
    if (rows.columns >= 16 && Bytes <= 8) {
      if (rows.stride == -1) return run_loop(gather_loop<Bytes, -1>{rows});
      if (rows.stride == 2) return run_loop(gather_loop<Bytes, 2>{rows});
      if (rows.stride == 3) return run_loop(gather_loop<Bytes, 3>{rows});
      if (rows.stride == 4) return run_loop(gather_loop<Bytes, 4>{rows});
    }
    rows.each([](std::byte* to, const std::byte* from, std::size_t count, std::ptrdiff_t stride) {
      auto* const out = reinterpret_cast<cell*>(to);
      const auto step = stride * static_cast<std::ptrdiff_t>(Bytes);
      for (std::size_t i = 0; i < count; ++i, from += step) out[i] = *reinterpret_cast<const cell*>(from);
    });
  }
  static void scatter(void* to, std::ptrdiff_t stride, const void* from, std::size_t count) noexcept {
    const auto step = stride * static_cast<std::ptrdiff_t>(Bytes);
    auto* const in = static_cast<const cell*>(from);
    char* out = static_cast<char*>(to);
    for (std::size_t i = 0; i < count; ++i, out += step) *reinterpret_cast<cell*>(out) = in[i];
  }
};

// f(mover<Bytes>) for elements of that size.
template <class F>
[[gnu::always_inline]] inline void with_mover(std::size_t element_bytes, F f) {
  switch (element_bytes) {
    case 1:
      return f(mover<1>());
    case 2:
      return f(mover<2>());
    case 4:
      return f(mover<4>());
    case 8:
      return f(mover<8>());
    default:
      return f(mover<16>());
  }
}

void gather(const gathering& rows, std::size_t element_bytes) noexcept {
  constexpr std::size_t line = 64;
  const auto bytes = static_cast<std::ptrdiff_t>(element_bytes);
  if (rows.from_row == bytes && rows.stride > 1 && bytes <= 8 && rows.rows * element_bytes >= line)  // of columns
    return kernels::copy_transposed(rows.from, rows.columns, rows.rows, rows.stride, rows.to, rows.to_row / bytes,
                                    element_bytes);
  with_mover(element_bytes, [&](auto move) { move.gather(rows); });
}

// `count` neighbours to where they are `stride` apart.
void scatter(void* to, std::ptrdiff_t stride, const void* from, std::size_t count, std::size_t element_bytes) noexcept {
  with_mover(element_bytes, [=](auto move) { move.scatter(to, stride, from, count); });
}

}  // namespace

bool are_apart(const operand& elements) noexcept {
  std::size_t reach = 0;
  std::array<bool, 32> done{};
  if (elements.rank > done.size()) return false;
  for (std::size_t round = 0; round < elements.rank; ++round) {
    std::size_t least = elements.rank;
    for (std::size_t d = 0; d < elements.rank; ++d)
      if (!done[d] && (least == elements.rank || magnitude(elements.strides[d]) < magnitude(elements.strides[least])))
        least = d;
    done[least] = true;
    if (elements.shape[least] == 0) return true;
    if (elements.shape[least] == 1) continue;
    const std::size_t stride = magnitude(elements.strides[least]);
    if (stride <= reach) return false;
    reach += stride * (elements.shape[least] - 1);
  }
  return true;
}

overlap overlap_of(const operand& target, const operand* sources, std::size_t count) noexcept {
  const byte_range to = bytes_of(target);
  auto worst = overlap::none;
  for (std::size_t k = 0; k < count; ++k) {
    const byte_range from = bytes_of(sources[k]);
    if (to.end <= from.first || from.end <= to.first) continue;
    if (is_same_place(target, sources[k]))
      worst = std::max(worst, overlap::same);
    else if (share_memory(target, sources[k]))
      return overlap::shifted;
  }
  return worst;
}

void in_parallel(std::size_t count, std::size_t grain, void* context,
                 void (*body)(void* context, std::size_t first, std::size_t last)) {
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, grain),
                    [=](const tbb::blocked_range<std::size_t>& part) { body(context, part.begin(), part.end()); });
}

// --- Rows

namespace {

// Chooses what is best for those loops: where one leaf alone repeats an element along the innermost dimension, and
// there is a function for that, it is read where it is.
void choose_function(row_source& source, const nest& loops) noexcept {
  if (source.functions.repeating == nullptr) return;
  std::size_t repeated = 0;
  for (std::size_t k = 1; k < source.count; ++k) {
    if (loops.stride(k, loops.rank - 1) != 0) continue;
    if (repeated != 0) return;
    repeated = k;
  }
  if (repeated == 0) return;
  source.functions.write = source.functions.repeating[repeated - 1];
  source.repeated = repeated;
}

// The dimensions of the target for a pass over all its elements in whatever order. At least one is left.
void arrange(nest& loops, row_source& source) noexcept {
  const operand* const operands = source.operands;
  const dims all{loops};
  const operand& target = operands[0];
  loops.rank = 0;
  for (std::size_t d = 0; d < target.rank; ++d)
    if (target.shape[d] != 1) {
      all.append(target.shape, target.rank, d, operands);
      // where the target's stride is larger is further out
      for (std::size_t e = loops.rank - 1; e > 0; --e) {
        if (magnitude(all.stride(0, e)) <= magnitude(all.stride(0, e - 1))) break;
        all.swap(e, e - 1);
      }
    }
  if (loops.rank == 0) {
    loops.rank = 1;
    loops.shape[0] = 1;
    for (std::size_t k = 0; k < loops.operands; ++k) all.stride(k, 0) = 1;
    return;
  }
  all.merge(0, loops.rank);
  choose_function(source, loops);
}

// Whether a node computes no more than a chunk at a time.
bool in_chunks(const row_functions& functions) noexcept {
  return functions.in_chunks || (functions.write != nullptr && functions.finish != nullptr);
}

}  // namespace

row_reader::row_reader(const row_source& source, const nest& loops) noexcept : source_(source), loops_(loops) {
  const std::size_t operands = source.count;
  std::byte* next = room_;
  const auto take = [&]<class T>(T*& array, std::size_t count) {
    array = reinterpret_cast<T*>(next);
    next += count * sizeof(T);
  };
  take(offset_, operands);
  take(step_, operands);
  take(at_, operands);
  take(down_, operands);
  take(index_, loops.pitch);
  rewind();
  constexpr std::size_t line = 64;
  const std::size_t used = (static_cast<std::size_t>(next - room_) + line - 1) / line * line;
  slots_ = room_ + used;
  std::size_t largest = source.functions.element_bytes;
  dense_ = true;
  repeats_ = false;
  for (std::size_t k = 0; k < operands; ++k) {
    step_[k] = loops.stride(k, loops.rank - 1);
    if (k == 0) continue;
    if (k != source_.repeated) {
      dense_ &= step_[k] == 1;
      repeats_ |= step_[k] == 0;
    }
    largest = std::max(largest, source.operands[k].element_bytes);
  }
  // What is gathered fills its last line.
  const std::size_t most = in_chunks(source.functions) ? chunk : several_chunks;
  // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is a target at least
  slot_bytes_ = std::min(most * largest + line, (room_bytes - used) / operands / line * line);
  pace_ = (slot_bytes_ - line) / largest;
}

void row_reader::rewind() noexcept {
  std::fill_n(offset_, source_.count, std::ptrdiff_t{0});
  std::fill_n(index_, loops_.pitch, std::size_t{0});
}

void row_reader::seek(std::size_t from, std::size_t to, std::size_t step) noexcept {
  for (std::size_t d = to; d-- > from; step /= loops_.shape[d]) {
    index_[d] = step % loops_.shape[d];
    for (std::size_t k = 0; k < source_.count; ++k)
      offset_[k] += static_cast<std::ptrdiff_t>(index_[d]) * loops_.stride(k, d);
  }
}

void row_reader::next(std::size_t from, std::size_t to) noexcept {
  for (std::size_t d = to; d-- > from;) {
    const bool more = ++index_[d] < loops_.shape[d];
    const std::ptrdiff_t steps = more ? 1 : 1 - static_cast<std::ptrdiff_t>(loops_.shape[d]);
    for (std::size_t k = 0; k < source_.count; ++k) offset_[k] += steps * loops_.stride(k, d);
    if (more) return;
    index_[d] = 0;
  }
}

void row_reader::skip(std::size_t from, std::size_t to, std::size_t steps) noexcept {
  index_[to - 1] += steps - 1;
  for (std::size_t k = 0; k < source_.count; ++k)
    offset_[k] += static_cast<std::ptrdiff_t>(steps - 1) * loops_.stride(k, to - 1);
  next(from, to);
}

const std::byte* row_reader::place_of(std::size_t operand, std::size_t column) const noexcept {
  return static_cast<const std::byte*>(source_.operands[operand].data) +
         (offset_[operand] + static_cast<std::ptrdiff_t>(column) * step_[operand]) *
             static_cast<std::ptrdiff_t>(source_.operands[operand].element_bytes);
}

namespace {

// Whether rows are so short that they had better be copied to their target first, where a kernel finishes several at
// once.
bool is_short(const row_functions& functions, std::size_t columns) noexcept {
  return functions.write == nullptr && functions.finish != nullptr && columns < 32;
}

// Rows of at least a word, and of few: the last word may be partly that before it once more.
template <class Word>
[[gnu::always_inline]] inline void copy_short_rows(const std::byte* from, std::ptrdiff_t from_row, std::byte* to,
                                                   std::ptrdiff_t to_row, std::size_t bytes,
                                                   std::size_t rows) noexcept {
  const std::size_t last = bytes - sizeof(Word);
  const auto copy = [&](std::size_t at) __attribute__((always_inline)) {
    Word word;
    std::memcpy(&word, from + at, sizeof word);
    std::memcpy(to + at, &word, sizeof word);
  };
  for (; rows > 0; --rows, from += from_row, to += to_row) {
    for (std::size_t at = 0; at < last; at += sizeof(Word)) copy(at);
    copy(last);
  }
}
// Rows of bytes, each where it is already, or apart from all others. For short ones, a call of memmove has its price.
void copy_rows(const std::byte* from, std::ptrdiff_t from_row, std::byte* to, std::ptrdiff_t to_row, std::size_t bytes,
               std::size_t rows) noexcept {
  using word_16 = struct {
    std::uint64_t halves[2];
  };
  constexpr std::size_t most = 128;
  if (rows > 1 && bytes <= most) {
    if (bytes >= 16) return copy_short_rows<word_16>(from, from_row, to, to_row, bytes, rows);
    if (bytes >= 8) return copy_short_rows<std::uint64_t>(from, from_row, to, to_row, bytes, rows);
    if (bytes >= 4) return copy_short_rows<std::uint32_t>(from, from_row, to, to_row, bytes, rows);
  }
  for (; rows > 0; --rows, from += from_row, to += to_row) std::memmove(to, from, bytes);
}

// Computes rows whose parts of the leaves are known. Rows without gaps between them are one. Of one row, `down` may be
// null.
void compute(const row_source& source, const void* const* at, const std::ptrdiff_t* down, std::size_t columns,
             std::size_t rows, std::byte* to, std::ptrdiff_t row_bytes) {
  const row_functions& functions = source.functions;
  const std::size_t bytes = functions.element_bytes;
  if (rows > 1 && row_bytes == static_cast<std::ptrdiff_t>(columns * bytes)) {
    bool without_gaps = source.repeated == 0;
    for (std::size_t k = 1; k < source.count; ++k)
      without_gaps &= down[k] == static_cast<std::ptrdiff_t>(columns * source.operands[k].element_bytes);
    if (without_gaps) {
      columns *= rows;
      rows = 1;
    }
  }
  if (functions.write != nullptr) {
    const row_steps steps{rows, row_bytes, down != nullptr ? down + 1 : nullptr};
    functions.write(source.node, {at + 1, columns, nullptr}, steps, to);
    if (functions.finish == nullptr) return;
    if (row_bytes == static_cast<std::ptrdiff_t>(columns * bytes)) {
      columns *= rows;
      rows = 1;
    }
    for (; rows > 0; --rows, to += row_bytes) functions.finish(to, to, columns, false);
    return;
  }
  const auto* const from = static_cast<const std::byte*>(at[1]);
  const std::ptrdiff_t from_row = rows > 1 ? down[1] : 0;
  const bool copied_first =
      rows > 1 && is_short(functions, columns) && row_bytes == static_cast<std::ptrdiff_t>(columns * bytes);
  if (functions.finish == nullptr || copied_first) {
    copy_rows(from, from_row, to, row_bytes, columns * bytes, rows);
    if (copied_first) functions.finish(to, to, columns * rows, false);
  } else {
    for (std::size_t row = 0; row < rows; ++row)
      functions.finish(from + static_cast<std::ptrdiff_t>(row) * from_row,
                       to + static_cast<std::ptrdiff_t>(row) * row_bytes, columns, false);
  }
}

void advance(const row_source& source, const void** at, std::size_t columns) noexcept {
  for (std::size_t k = 1; k < source.count; ++k)
    if (k != source.repeated) at[k] = static_cast<const std::byte*>(at[k]) + columns * source.operands[k].element_bytes;
}

// A part of one row past the caches; what does not fill lines, through them.
void compute_past_caches(const row_source& source, const void** at, std::size_t columns, std::byte* to,
                         std::byte* lines) {
  const row_functions& functions = source.functions;
  if (functions.finish != nullptr) {
    if (functions.write != nullptr) functions.write(source.node, {at + 1, columns, nullptr}, {1, 0, nullptr}, lines);
    return functions.finish(functions.write != nullptr ? lines : at[1], to, columns, true);
  }
  // Short pieces: while one is stored, the processor reads the next.
  constexpr std::size_t line_bytes = 64, piece_bytes = 384;
  const std::size_t bytes = functions.element_bytes, line = line_bytes / bytes, piece = piece_bytes / bytes;
  const auto write = [&](std::size_t n, bool by_line) {
    compute(source, at, nullptr, n, 1, by_line ? lines : to, 0);
    if (by_line) store_past_caches(to, lines, n * bytes);
    advance(source, at, n);
    to += n * bytes;
    columns -= n;
  };
  const std::size_t before = std::min(columns, (0 - reinterpret_cast<std::uintptr_t>(to)) % line_bytes / bytes);
  if (before > 0) write(before, false);
  while (columns >= piece) write(piece, true);
  if (columns >= line) write(columns - columns % line, true);
  if (columns > 0) write(columns, false);
}

}  // namespace

// Where the leaves' parts of so many rows are: in memory, or gathered one row after the other. With `further`, what is
// repeated along a row is there already.
void row_reader::point(std::size_t first, std::size_t columns, std::size_t row, std::size_t rows, std::size_t dimension,
                       bool further) noexcept {
  for (std::size_t k = 1; k < source_.count; ++k) {
    const std::size_t bytes = source_.operands[k].element_bytes;
    const std::ptrdiff_t down = loops_.stride(k, dimension) * static_cast<std::ptrdiff_t>(bytes);
    const std::byte* from = place_of(k, first) + static_cast<std::ptrdiff_t>(row) * down;
    at_[k] = from;
    down_[k] = down;
    if (step_[k] == 1 || k == source_.repeated) continue;
    at_[k] = slot(k);
    down_[k] = static_cast<std::ptrdiff_t>(columns * bytes);
    if (!further || step_[k] != 0) gather({slot(k), down_[k], from, down, step_[k], columns, rows}, bytes);
  }
}

void row_reader::write(std::size_t first, std::size_t columns, std::size_t rows, std::size_t dimension, void* to,
                       std::ptrdiff_t row_bytes, bool past_caches) {
  const row_functions& functions = source_.functions;
  if (source_.is_leaf() && !past_caches && step_[1] != 1 && step_[1] != 0) {  // gathered straight to where it goes
    const std::ptrdiff_t down = loops_.stride(1, dimension) * static_cast<std::ptrdiff_t>(functions.element_bytes);
    return gather({static_cast<std::byte*>(to), row_bytes, place_of(1, first), down, step_[1], columns, rows},
                  functions.element_bytes);
  }
  const bool lines = past_caches && functions.finish == nullptr;
  const bool whole = dense_ && !is_short(functions, columns) && (lines || !in_chunks(functions));
  constexpr std::size_t few = 2 * chunk;  // take little to repeat, and are then used for all of a row
  const std::size_t pace = whole ? columns : std::min({columns, pace_, repeats_ ? few : pace_});
  const std::size_t together = whole ? rows : past_caches || pace < columns ? 1 : pace_ / pace;
  for (std::size_t row = 0, n; row < rows; row += n) {
    n = std::min(rows - row, together);
    std::byte* out = static_cast<std::byte*>(to) + static_cast<std::ptrdiff_t>(row) * row_bytes;
    for (std::size_t i = 0; i < columns; i += pace, out += pace * functions.element_bytes) {
      const std::size_t count = std::min(columns - i, pace);
      point(first + i, count, row, n, dimension, i > 0);
      if (past_caches)
        compute_past_caches(source_, at_, count, out, slot(0));
      else
        compute(source_, at_, down_, count, n, out, row_bytes);
    }
  }
}

const void* row_reader::elements(std::size_t first, std::size_t columns, void* memory) {
  if (!source_.is_leaf()) {
    write(first, columns, 1, 0, memory, 0, false);
    return memory;
  }
  if (step_[1] == 1) return place_of(1, first);
  gather({static_cast<std::byte*>(memory), 0, place_of(1, first), 0, step_[1], columns, 1},
         source_.functions.element_bytes);
  return memory;
}

// --- Passes

namespace {

// Whether an operand lies row by row without gaps.
bool is_row_major(const operand& array) noexcept {
  std::size_t next = 1;
  for (std::size_t d = array.rank; d-- > 0; next *= array.shape[d])
    if (array.shape[d] != 1 && array.strides[d] != static_cast<std::ptrdiff_t>(next)) return false;
  return true;
}

// Whether two operands' elements of the same index are at the same distance from the first one.
bool are_in_step(const operand& a, const operand& b) noexcept {
  if (a.rank != b.rank) return false;
  for (std::size_t d = 0; d < a.rank; ++d)
    if (a.shape[d] != b.shape[d] || (a.strides[d] != b.strides[d] && a.shape[d] != 1)) return false;
  return true;
}

std::size_t numel(const operand& array) noexcept {
  std::size_t count = 1;
  for (std::size_t d = 0; d < array.rank; ++d) count *= array.shape[d];
  return count;
}

// The columns [first, last) of the rows [first_row, last_row).
void write_part(const row_source& source, const nest& loops, bool in_place, std::size_t first_row, std::size_t last_row,
                std::size_t first, std::size_t last) {
  constexpr std::ptrdiff_t far = 16;
  constexpr std::size_t few_columns = 64;
  row_reader here(source, loops);
  const std::size_t inner = loops.rank - 1, bytes = source.functions.element_bytes;
  bool crosswise = false;
  for (std::size_t k = 0; k < loops.operands; ++k) crosswise |= magnitude(loops.stride(k, inner)) > far;
  const std::ptrdiff_t step = loops.stride(0, inner);
  const bool plain = step == 1;
  const bool past_caches =
      plain && !in_place && !crosswise && last - first >= chunk && loops.steps(0, loops.rank) * bytes >= least_streamed;
  const bool many = plain && inner > 0 && !past_caches;  // rows in one call
  const std::size_t dimension = inner > 0 ? inner - 1 : 0;
  const std::ptrdiff_t row_bytes = loops.stride(0, dimension) * static_cast<std::ptrdiff_t>(bytes);
  // An operand that is walked across its rows touches a cache line for each element: few columns at a time, so that
  // the lines are still there for the next row.
  const std::size_t tile = crosswise && last_row - first_row > 1 ? few_columns : last - first;
  for (std::size_t begin = first; begin < last; begin += tile) {
    const std::size_t end = std::min(begin + tile, last);
    here.rewind();
    here.seek(0, inner, first_row);
    for (std::size_t row = first_row, count; row < last_row;
         row += count, many ? here.skip(0, inner, count) : here.next(0, inner)) {
      count = many ? std::min(last_row - row, here.left(dimension)) : 1;
      auto* const to =
          static_cast<std::byte*>(const_cast<void*>(source.operands[0].data)) +
          (here.target_offset() + static_cast<std::ptrdiff_t>(begin) * step) * static_cast<std::ptrdiff_t>(bytes);
      if (plain) {
        here.write(begin, end - begin, count, dimension, to, row_bytes, past_caches);
        continue;
      }
      for (std::size_t i = begin, n; i < end; i += n) {
        n = std::min({end - i, here.pace(), chunk});
        scatter(to + static_cast<std::ptrdiff_t>((i - begin) * bytes) * step, step, here.elements(i, n, here.results()),
                n, bytes);
      }
    }
  }
  if (past_caches) kernels::stream_end();
}

// Rows that are neighbours wherever they are: nothing has to be brought anywhere. False, with nothing done, where they
// are not, or are so many that they are written past the caches.
bool write_dense_rows(const row_source& source, const nest& loops) {
  const row_functions& functions = source.functions;
  const std::size_t inner = loops.rank - 1, rows = loops.steps(0, inner), columns = loops.shape[inner];
  if (inner > 1 || in_chunks(functions) || is_short(functions, columns) ||
      rows * columns * functions.element_bytes >= least_streamed)
    return false;
  const void* at[most_operands];
  std::ptrdiff_t down[most_operands];
  for (std::size_t k = 0; k < source.count; ++k) {
    if (loops.stride(k, inner) != 1 && (k == 0 || k != source.repeated)) return false;
    at[k] = source.operands[k].data;
    down[k] = loops.stride(k, 0) * static_cast<std::ptrdiff_t>(source.operands[k].element_bytes);
  }
  // cppcheck-suppress uninitvar ; there is a target at least
  // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage)
  compute(source, at, down, columns, rows, static_cast<std::byte*>(const_cast<void*>(at[0])), down[0]);
  return true;
}

void write_in_parallel(const row_source& source, const nest& loops, bool in_place) {
  constexpr std::size_t grain = 16 * 1024;  // elements; less is not worth a task
  const std::size_t height = loops.steps(0, loops.rank - 1), width = loops.shape[loops.rank - 1];
  if (height * width < 2 * grain) return write_part(source, loops, in_place, 0, height, 0, width);
  if (height >= 64 || height >= width) {
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, height, grain / width + 1), [&](const auto& part) {
      write_part(source, loops, in_place, part.begin(), part.end(), 0, width);
    });
  } else {
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, width, grain / height + 1), [&](const auto& part) {
      write_part(source, loops, in_place, 0, height, part.begin(), part.end());
    });
  }
}

// A copy in which neighbours in one dimension become neighbours in another; false, with nothing done, when it is not
// that.
[[nodiscard]] bool copy_transposed(const nest& loops, const void* from, void* to, std::size_t element_bytes) noexcept {
  const std::size_t* const shape = loops.shape;
  const std::ptrdiff_t *const to_strides = loops.strides, *const from_strides = loops.strides + loops.pitch;
  const std::size_t inner = loops.rank - 1;
  if (loops.rank < 2 || element_bytes > 8 || to_strides[inner] != 1 || from_strides[inner] == 1) return false;
  std::size_t dense = inner;
  for (std::size_t d = 0; d < inner; ++d)
    if (from_strides[d] == 1 && shape[d] >= 4) dense = d;
  if (dense == inner || from_strides[inner] <= 0 || to_strides[dense] <= 0) return false;
  // one call for each place in the other dimensions
  std::size_t count = 1;
  for (std::size_t d = 0; d < inner; ++d) count *= d == dense ? 1 : shape[d];
  const auto bytes = static_cast<std::ptrdiff_t>(element_bytes);
  for (std::size_t i = 0; i < count; ++i) {
    std::ptrdiff_t to_offset = 0, from_offset = 0;
    for (std::size_t d = inner, rest = i; d-- > 0;) {
      if (d == dense) continue;
      const auto at = static_cast<std::ptrdiff_t>(rest % shape[d]);
      rest /= shape[d];
      to_offset += at * to_strides[d];
      from_offset += at * from_strides[d];
    }
    kernels::copy_transposed(static_cast<const char*>(from) + from_offset * bytes, shape[inner], shape[dense],
                             from_strides[inner], static_cast<char*>(to) + to_offset * bytes, to_strides[dense],
                             element_bytes);
  }
  return true;
}

// Whether rows of so many elements that are kept are combined as wholes. For places that takes longer where they are
// narrow, and there are 32 bits for a place.
bool suits_whole_rows(std::size_t columns, const reduced_shape& reduced, bool in_order) noexcept {
  constexpr std::size_t narrow = 8;
  return !in_order || (columns > narrow && reduced.count <= std::numeric_limits<std::uint32_t>::max());
}

// The loops of rows without gaps of which the last dimensions go, or the first, as it mostly is; false for others.
bool arrange_plain_rows(nest& loops, const row_source& source, const reduced_shape& reduced, bool in_order,
                        reduction_plan& plan) noexcept {
  const unsigned mask = reduced.mask;
  const bool last_go = ((mask | (mask - 1)) + 1) >> reduced.rank == 1, first_go = (mask & (mask + 1)) == 0;
  if (reduced.rank == 0 || (!last_go && !first_go)) return false;
  const operand& target = source.operands[0];
  if (!is_row_major({nullptr, 0, target.rank, target.shape, target.strides})) return false;
  for (std::size_t k = 1; k < source.count; ++k) {
    const operand& leaf = source.operands[k];
    if (leaf.rank != reduced.rank || !std::equal(leaf.shape, leaf.shape + leaf.rank, reduced.shape) ||
        !is_row_major(leaf))
      return false;
  }
  const std::size_t results = numel(target), count = reduced.count;
  if (!last_go && !suits_whole_rows(results, reduced, in_order)) return false;
  loops.rank = 2;
  loops.shape[0] = last_go ? results : count;
  loops.shape[1] = last_go ? count : results;
  for (std::size_t k = 0; k < source.count; ++k) {
    loops.stride(k, 0) = static_cast<std::ptrdiff_t>(loops.shape[1]);
    loops.stride(k, 1) = 1;
  }
  loops.stride(0, 0) = last_go ? 1 : 0;
  loops.stride(0, 1) = last_go ? 0 : 1;
  plan = {last_go ? 1U : 0U, !last_go};
  return true;
}

}  // namespace

reduction_plan arrange_reduction(nest& loops, row_source& source, const reduced_shape& reduced,
                                 bool in_order) noexcept {
  reduction_plan plan;
  if (arrange_plain_rows(loops, source, reduced, in_order, plan)) return plan;
  const dims all{loops};
  loops.rank = 0;
  const std::size_t* const shape = reduced.shape;
  const operand* const operands = source.operands;
  const auto goes = [&](std::size_t d) { return (reduced.mask >> d & 1) != 0; };
  for (std::size_t d = 0; d < reduced.rank; ++d)
    if (shape[d] != 1 && !goes(d)) all.append(shape, reduced.rank, d, operands);
  std::size_t kept = loops.rank;
  for (std::size_t d = 0; d < reduced.rank; ++d)
    if (shape[d] != 1 && goes(d)) all.append(shape, reduced.rank, d, operands);
  if (loops.rank == kept) {  // one step of what goes
    loops.shape[loops.rank] = 1;
    for (std::size_t k = 0; k < loops.operands; ++k) all.stride(k, loops.rank) = far_apart;
    ++loops.rank;
  }
  if (!in_order)
    for (std::size_t d = kept + 1; d < loops.rank; ++d)  // where memory is denser is further in
      for (std::size_t e = d; e > kept && all.cost(e) > all.cost(e - 1); --e) all.swap(e, e - 1);
  std::size_t densest = kept;
  for (std::size_t d = 0; d < kept; ++d)
    if (densest == kept || all.cost(d) <= all.cost(densest)) densest = d;
  const bool inner_kept = densest != kept && all.cost(densest) < all.cost(loops.rank - 1) &&
                          suits_whole_rows(loops.shape[densest], reduced, in_order);
  if (inner_kept) {
    all.move_to(densest, loops.rank - 1);
    --kept;
  }
  all.merge(kept, loops.rank - (inner_kept ? 1 : 0));
  kept = all.merge(0, kept);
  choose_function(source, loops);
  return {kept, inner_kept};
}

void write_row(const row_source& source, const void** at, std::size_t count) {
  auto* to = static_cast<std::byte*>(const_cast<void*>(source.operands[0].data));
  const std::size_t pace = in_chunks(source.functions) ? chunk : count;
  for (std::size_t left = count, n; left > 0; left -= n, to += n * source.functions.element_bytes) {
    n = std::min(left, pace);
    compute(source, at, nullptr, n, 1, to, 0);
    if (n < left) advance(source, at, n);
  }
}

namespace {

// Elements that lie one after the other in all leaves.
void visit_in_order(const row_source& source, std::size_t count, void* context,
                    bool (*f)(void* context, const void* elements, std::size_t count)) {
  if (source.is_leaf()) return static_cast<void>(f(context, source.operands[1].data, count));
  const void* at[most_operands];
  for (std::size_t k = 1; k < source.count; ++k) at[k] = source.operands[k].data;
  constexpr std::size_t widest = 16;
  alignas(64) std::byte results[several_chunks * widest];
  const std::size_t pace = in_chunks(source.functions) ? chunk : several_chunks;
  for (std::size_t left = count, n; left > 0; left -= n, advance(source, at, n)) {
    n = std::min(left, pace);
    compute(source, at, nullptr, n, 1, results, 0);
    if (f(context, results, n)) return;
  }
}

}  // namespace

bool write_elements(row_source& source, nest loops, bool parallel, bool apart) {
  const operand &target = source.operands[0], *const leaves = source.operands + 1;
  if (numel(target) == 0) return true;
  const overlap common = apart ? overlap::none : overlap_of(target, leaves, source.count - 1);
  if (common != overlap::none && source.is_leaf() && are_in_step(target, leaves[0]) && is_row_major(target)) {
    std::memmove(const_cast<void*>(target.data), leaves[0].data, numel(target) * target.element_bytes);
    return true;
  }
  if (common == overlap::shifted) return false;
  arrange(loops, source);
  const bool in_place = common == overlap::same;
  if (parallel) {
    write_in_parallel(source, loops, in_place);
    return true;
  }
  if (write_dense_rows(source, loops)) return true;
  if (source.is_leaf() && !in_place &&
      copy_transposed(loops, leaves[0].data, const_cast<void*>(target.data), target.element_bytes))
    return true;
  write_part(source, loops, in_place, 0, loops.steps(0, loops.rank - 1), 0, loops.shape[loops.rank - 1]);
  return true;
}

void visit_elements(row_source& source, nest loops, void* context,
                    bool (*f)(void* context, const void* elements, std::size_t count)) {
  operand& shape = source.operands[0];
  const std::size_t count = numel(shape);
  if (count == 0) return;
  bool in_order = true;
  for (std::size_t k = 1; k < source.count; ++k) in_order &= are_in_step(shape, source.operands[k]);
  if (in_order) return visit_in_order(source, count, context, f);
  const operand& first = source.operands[1];
  if (first.rank == shape.rank && std::equal(shape.shape, shape.shape + shape.rank, first.shape))
    shape.strides = first.strides;  // whose order of dimensions is taken
  arrange(loops, source);
  row_reader here(source, loops);
  here.each_row(0, here.results(), [=](const void* elements, std::size_t n) { return f(context, elements, n); });
}

bool find_element(row_source& source, nest loops, bool wanted) {
  struct search {
    int byte;
    bool found;
  } here{wanted ? 1 : 0, false};
  visit_elements(source, loops, &here, [](void* context, const void* elements, std::size_t count) {
    auto& search_here = *static_cast<search*>(context);
    return search_here.found = std::memchr(elements, search_here.byte, count) != nullptr;
  });
  return here.found;
}

}  // namespace buffers::detail
