module;
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
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
      terms_[used_++] = {static_cast<std::size_t>(std::abs(stride)), extent - 1};
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
    reach_[used_] = 0;
    for (std::size_t i = used_; i-- > 0;)
      reach_[i] = reach_[i + 1] + static_cast<std::ptrdiff_t>(terms_[i].stride * terms_[i].count);
    tries_ = 10'000;
    return solvable(0, wanted);
  }

 private:
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

// The first and the byte after the last of an array that has elements.
std::pair<std::uintptr_t, std::uintptr_t> bytes_of(const operand& array) noexcept {
  auto first = reinterpret_cast<std::uintptr_t>(array.data), last = first;
  for (std::size_t d = 0; d < array.rank; ++d) {
    const auto way = (array.shape[d] - 1) * static_cast<std::size_t>(std::abs(array.strides[d])) * array.element_bytes;
    if (array.strides[d] < 0)
      first -= way;
    else
      last += way;
  }
  return {first, last + array.element_bytes};
}

bool is_empty(const operand& array) noexcept {
  return std::find(array.shape, array.shape + array.rank, 0u) != array.shape + array.rank;
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
  nest_ref loops;

  std::ptrdiff_t& stride(std::size_t k, std::size_t d) const noexcept { return loops.strides[k * loops.pitch + d]; }
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
    for (std::size_t k = 1; k < loops.operands; ++k) sum += static_cast<std::size_t>(std::abs(stride(k, d)));
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

// One word over and over, up to the end of a line of 64 bytes.
template <std::size_t Bytes>
struct repeat_loop {
  using cell = typename word<Bytes>::type;
  cell one;
  cell* to;
  std::size_t count;

  [[gnu::always_inline]] inline void operator()() const {
    constexpr std::size_t line = 64 / Bytes;
    const repeat_loop here = *this;  // which no store changes
    for (std::size_t i = 0; i < here.count; i += line)
      for (std::size_t k = 0; k < line; ++k) here.to[i + k] = here.one;
  }
};

template <std::size_t Bytes>
struct mover {
  using cell = typename word<Bytes>::type;
  static void gather(void* to, const void* from, std::ptrdiff_t stride, std::size_t count) noexcept {
    auto* const out = static_cast<cell*>(to);
    if (stride == 0) return run_loop(repeat_loop<Bytes>{*static_cast<const cell*>(from), out, count});
    const auto step = stride * static_cast<std::ptrdiff_t>(Bytes);
    const char* in = static_cast<const char*>(from);
    for (std::size_t i = 0; i < count; ++i, in += step) out[i] = *reinterpret_cast<const cell*>(in);
  }
  static void scatter(void* to, std::ptrdiff_t stride, const void* from, std::size_t count) noexcept {
    const auto step = stride * static_cast<std::ptrdiff_t>(Bytes);
    auto* const in = static_cast<const cell*>(from);
    char* out = static_cast<char*>(to);
    for (std::size_t i = 0; i < count; ++i, out += step) *reinterpret_cast<cell*>(out) = in[i];
  }
};

}  // namespace

bool are_apart(const operand& elements) noexcept {
  std::size_t reach = 0;
  std::array<bool, 32> done{};
  if (elements.rank > done.size()) return false;
  for (std::size_t round = 0; round < elements.rank; ++round) {
    std::size_t least = elements.rank;
    for (std::size_t d = 0; d < elements.rank; ++d)
      if (!done[d] && (least == elements.rank || std::abs(elements.strides[d]) < std::abs(elements.strides[least])))
        least = d;
    done[least] = true;
    if (elements.shape[least] == 0) return true;
    if (elements.shape[least] == 1) continue;
    const auto stride = static_cast<std::size_t>(std::abs(elements.strides[least]));
    if (stride <= reach) return false;
    reach += stride * (elements.shape[least] - 1);
  }
  return true;
}

overlap overlap_of(const operand& target, const operand& source) noexcept {
  if (is_empty(target) || is_empty(source)) return overlap::none;
  const auto [t0, t1] = bytes_of(target);
  const auto [s0, s1] = bytes_of(source);
  if (t1 <= s0 || s1 <= t0) return overlap::none;
  if (is_same_place(target, source)) return overlap::same;
  return share_memory(target, source) ? overlap::shifted : overlap::none;
}

overlap overlap_of(const operand& target, const operand* sources, std::size_t count) noexcept {
  auto worst = overlap::none;
  for (std::size_t k = 0; k < count; ++k) worst = std::max(worst, overlap_of(target, sources[k]));
  return worst;
}

void arrange(nest_ref loops, const operand* operands) noexcept {
  const dims all{loops};
  const operand& target = operands[0];
  loops.rank = 0;
  for (std::size_t d = 0; d < target.rank; ++d)
    if (target.shape[d] != 1) {
      all.append(target.shape, target.rank, d, operands);
      // where the target's stride is larger is further out
      for (std::size_t e = loops.rank - 1; e > 0; --e) {
        if (std::abs(all.stride(0, e)) <= std::abs(all.stride(0, e - 1))) break;
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
}

reduction_plan arrange_reduction(nest_ref loops, const std::size_t* shape, std::size_t rank, unsigned reduced,
                                 const operand* operands, bool in_order) noexcept {
  const dims all{loops};
  loops.rank = 0;
  const auto goes = [&](std::size_t d) { return (reduced >> d & 1) != 0; };
  for (std::size_t d = 0; d < rank; ++d)
    if (shape[d] != 1 && !goes(d)) all.append(shape, rank, d, operands);
  std::size_t kept = loops.rank;
  for (std::size_t d = 0; d < rank; ++d)
    if (shape[d] != 1 && goes(d)) all.append(shape, rank, d, operands);
  if (loops.rank == kept) {  // one step of what goes
    loops.shape[loops.rank] = 1;
    for (std::size_t k = 0; k < loops.operands; ++k) all.stride(k, loops.rank) = far_apart;
    ++loops.rank;
  }
  bool inner_kept = false;
  if (!in_order) {
    for (std::size_t d = kept + 1; d < loops.rank; ++d)  // where memory is denser is further in
      for (std::size_t e = d; e > kept && all.cost(e) > all.cost(e - 1); --e) all.swap(e, e - 1);
    std::size_t densest = kept;
    for (std::size_t d = 0; d < kept; ++d)
      if (densest == kept || all.cost(d) <= all.cost(densest)) densest = d;
    inner_kept = densest != kept && all.cost(densest) < all.cost(loops.rank - 1);
    if (inner_kept) {
      all.move_to(densest, loops.rank - 1);
      --kept;
    }
  }
  all.merge(kept, loops.rank - (inner_kept ? 1 : 0));
  return {all.merge(0, kept), inner_kept};
}

void gather(void* to, const void* from, std::ptrdiff_t stride, std::size_t count, std::size_t element_bytes) noexcept {
  switch (element_bytes) {
    case 1:
      return mover<1>::gather(to, from, stride, count);
    case 2:
      return mover<2>::gather(to, from, stride, count);
    case 4:
      return mover<4>::gather(to, from, stride, count);
    case 8:
      return mover<8>::gather(to, from, stride, count);
    default:
      return mover<16>::gather(to, from, stride, count);
  }
}

void scatter(void* to, std::ptrdiff_t stride, const void* from, std::size_t count, std::size_t element_bytes) noexcept {
  switch (element_bytes) {
    case 1:
      return mover<1>::scatter(to, stride, from, count);
    case 2:
      return mover<2>::scatter(to, stride, from, count);
    case 4:
      return mover<4>::scatter(to, stride, from, count);
    case 8:
      return mover<8>::scatter(to, stride, from, count);
    default:
      return mover<16>::scatter(to, stride, from, count);
  }
}

bool copy_transposed(std::size_t rank, const std::size_t* shape, const std::ptrdiff_t* to_strides,
                     const std::ptrdiff_t* from_strides, const void* from, void* to,
                     std::size_t element_bytes) noexcept {
  const std::size_t inner = rank - 1;
  if (rank < 2 || element_bytes > 8 || to_strides[inner] != 1 || from_strides[inner] == 1) return false;
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

void seek(const dimensions& loops, std::ptrdiff_t* offset, std::size_t* index, std::size_t from, std::size_t to,
          std::size_t step) noexcept {
  for (std::size_t d = to; d-- > from; step /= loops.shape[d]) {
    index[d] = step % loops.shape[d];
    for (std::size_t k = 0; k < loops.operands; ++k)
      offset[k] += static_cast<std::ptrdiff_t>(index[d]) * loops.strides[k * loops.pitch + d];
  }
}

void next(const dimensions& loops, std::ptrdiff_t* offset, std::size_t* index, std::size_t from,
          std::size_t to) noexcept {
  for (std::size_t d = to; d-- > from;) {
    const std::ptrdiff_t* stride = loops.strides + d;
    if (++index[d] < loops.shape[d]) {
      for (std::size_t k = 0; k < loops.operands; ++k, stride += loops.pitch) offset[k] += *stride;
      return;
    }
    for (std::size_t k = 0; k < loops.operands; ++k, stride += loops.pitch)
      offset[k] -= static_cast<std::ptrdiff_t>(loops.shape[d] - 1) * *stride;
    index[d] = 0;
  }
}

void skip(const dimensions& loops, std::ptrdiff_t* offset, std::size_t* index, std::size_t from, std::size_t to,
          std::size_t steps) noexcept {
  index[to - 1] += steps - 1;
  for (std::size_t k = 0; k < loops.operands; ++k)
    offset[k] += static_cast<std::ptrdiff_t>(steps - 1) * loops.strides[k * loops.pitch + to - 1];
  next(loops, offset, index, from, to);
}

// --- Rows

namespace {

std::size_t rows(const row_pass& pass) noexcept {
  std::size_t count = 1;
  for (std::size_t d = 0; d + 1 < pass.rank; ++d) count *= pass.loops.shape[d];
  return count;
}
std::size_t columns(const row_pass& pass) noexcept { return pass.loops.shape[pass.rank - 1]; }

}  // namespace

void write_all(const row_pass& pass) { pass.run(pass, 0, rows(pass), 0, columns(pass)); }

void write_all_in_parallel(const row_pass& pass) {
  constexpr std::size_t grain = 16 * 1024;  // elements; less is not worth a task
  const std::size_t height = rows(pass), width = columns(pass);
  if (height * width < 2 * grain) return write_all(pass);
  if (height >= 64 || height >= width) {
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, height, grain / width + 1),
                      [&](const auto& part) { pass.run(pass, part.begin(), part.end(), 0, width); });
  } else {
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, width, grain / height + 1),
                      [&](const auto& part) { pass.run(pass, 0, height, part.begin(), part.end()); });
  }
}

void write_part(const row_pass& pass, const row_pass::room& room, std::size_t first_row, std::size_t last_row,
                std::size_t first, std::size_t last) {
  constexpr std::ptrdiff_t far = 16;
  constexpr std::size_t few_columns = 64;
  const std::size_t inner = pass.rank - 1, bytes = pass.element_bytes;
  bool dense = !pass.in_chunks, crosswise = false;
  for (std::size_t k = 0; k < pass.loops.operands; ++k) {
    const std::ptrdiff_t step = pass.loops.strides[k * pass.loops.pitch + inner];
    room.steps[k] = step;
    dense &= step == 1;
    crosswise |= step > far || step < -far;
  }
  const std::ptrdiff_t step = room.steps[0];
  const bool plain = step == 1;
  const bool past_caches = plain && !pass.in_place && !crosswise && last - first >= chunk &&
                           rows(pass) * columns(pass) * bytes >= least_streamed;
  const std::size_t pace = dense && plain ? last - first : chunk;
  // An operand that is walked across its rows touches a cache line for each element: few columns at a time, so that
  // the lines are still there for the next row.
  const std::size_t tile = crosswise && last_row - first_row > 1 ? few_columns : last - first;
  for (std::size_t begin = first; begin < last; begin += tile) {
    const std::size_t end = last - begin < tile ? last : begin + tile;
    const bool many = plain && inner > 0 && end - begin <= pace;  // rows in one call
    std::fill_n(room.offsets, pass.loops.operands, std::ptrdiff_t{0});
    seek(pass.loops, room.offsets, room.index, 0, inner, first_row);
    row_steps steps{1, pass.loops.strides + (inner > 0 ? inner - 1 : 0), pass.loops.pitch};
    for (std::size_t row = first_row; row < last_row; row += steps.rows) {
      if (many) steps.rows = std::min(last_row - row, pass.loops.shape[inner - 1] - room.index[inner - 1]);
      for (std::size_t i = begin; i < end; i += pace) {
        const std::size_t count = end - i < pace ? end - i : pace;
        const row_request request{room.offsets + 1, room.steps + 1, i, count, room.scratch};
        std::byte* const to =
            static_cast<std::byte*>(pass.out) +
            (room.offsets[0] + static_cast<std::ptrdiff_t>(i) * step) * static_cast<std::ptrdiff_t>(bytes);
        pass.write_rows(pass.node, request, steps, plain ? to : room.results, past_caches);
        if (!plain) scatter(to, step, room.results, count, bytes);
      }
      if (many)
        skip(pass.loops, room.offsets, room.index, 0, inner, steps.rows);
      else
        next(pass.loops, room.offsets, room.index, 0, inner);
    }
  }
  if (past_caches) kernels::stream_end();
}

void in_parallel(std::size_t count, std::size_t grain, void* context,
                 void (*body)(void* context, std::size_t first, std::size_t last)) {
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, grain),
                    [=](const tbb::blocked_range<std::size_t>& part) { body(context, part.begin(), part.end()); });
}

}  // namespace buffers::detail
