// parallel_blocks: evens out the light of a picture, so that what lies in the shade shows as well as the rest. Each
// pixel is compared with those around it,
//
//     out[y, x] = (in[y, x] - mean) / (deviation + 1),      mean and deviation over a window of 33 x 33 pixels,
//
// block by block, in parallel by oneTBB. A block needs scratch memory for two tables, of the sums of all pixels and of
// their squares to the left and above: the sum over any window is then a matter of four look-ups. It gets that from a
// thread_resource, and for comparison from two fresh std::vectors. The results are compared with each other, and every
// fifth row of them with that of a plain loop over each window.
//
//     parallel_blocks [ROUNDS]     the time is the median of that many rounds, 15 when it is not given
//
// Exit code: 0; 1 when a result is wrong or cannot be printed; 2 for wrong arguments.
#include <tbb/blocked_range2d.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mdspan>
#include <print>
#include <random>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "measure.hpp"
#include "output.hpp"

import buffers;

namespace {

constexpr std::size_t height = 1200, width = 1600;
constexpr std::size_t reach = 16;  // the window goes so far to each side
constexpr std::size_t side = 128;  // of a block

using pixels = std::mdspan<const std::uint8_t, std::extents<std::size_t, height, width>>;
using result = std::mdspan<float, std::extents<std::size_t, height, width>>;
using table = std::mdspan<std::uint64_t, std::dextents<std::size_t, 2>>;
using block = tbb::blocked_range2d<std::size_t>;

/// A wall of bricks with a lamp at one side.
std::vector<std::uint8_t> make_picture() {
  std::mt19937 random{7};
  std::vector<std::uint8_t> made(height * width);
  for (std::size_t y = 0; y < height; ++y)
    for (std::size_t x = 0; x < width; ++x) {
      const bool mortar = y % 24 < 3 || (x + y / 24 % 2 * 30) % 60 < 3;
      const double light = 1 / (1 + std::hypot(static_cast<double>(x), static_cast<double>(y) - 500) / 300);
      made[y * width + x] = static_cast<std::uint8_t>(light * (mortar ? 90 : 200) + static_cast<double>(random() % 12));
    }
  return made;
}

/// The part of the picture that is not farther than the window from [first, last).
struct range {
  std::size_t first, last;
};
range around(std::size_t first, std::size_t last, std::size_t end) {
  return {first - std::min(first, reach), std::min(last + reach, end)};
}

float even_out(std::uint8_t pixel, std::uint64_t sum, std::uint64_t squares, std::size_t count) {
  const double n = static_cast<double>(count), mean = static_cast<double>(sum) / n;
  const double deviation = std::sqrt(std::max(static_cast<double>(squares) / n - mean * mean, 0.0));
  return static_cast<float>((pixel - mean) / (deviation + 1));
}

/// One block. The tables have a row and a column more than the block and what is around it.
void even_out_block(pixels in, result out, const block& of, table sums, table squares) {
  const range rows = around(of.rows().begin(), of.rows().end(), height);
  const range columns = around(of.cols().begin(), of.cols().end(), width);
  for (std::size_t x = 0; x < sums.extent(1); ++x) sums[0, x] = squares[0, x] = 0;
  for (std::size_t y = rows.first; y < rows.last; ++y) {
    const std::size_t row = y - rows.first + 1;
    std::uint64_t sum = 0, square = 0;
    sums[row, 0] = squares[row, 0] = 0;
    for (std::size_t x = columns.first; x < columns.last; ++x) {
      const std::size_t column = x - columns.first + 1;
      const std::uint64_t pixel = in[y, x];
      sums[row, column] = sums[row - 1, column] + (sum += pixel);
      squares[row, column] = squares[row - 1, column] + (square += pixel * pixel);
    }
  }
  for (std::size_t y = of.rows().begin(); y < of.rows().end(); ++y)
    for (std::size_t x = of.cols().begin(); x < of.cols().end(); ++x) {
      const range r = around(y, y + 1, height), c = around(x, x + 1, width);
      const auto in_window = [&](table t) {
        const std::size_t top = r.first - rows.first, bottom = r.last - rows.first;
        const std::size_t left = c.first - columns.first, right = c.last - columns.first;
        return t[bottom, right] - t[top, right] - t[bottom, left] + t[top, left];
      };
      out[y, x] = even_out(in[y, x], in_window(sums), in_window(squares), (r.last - r.first) * (c.last - c.first));
    }
}

/// The shape of the tables for a block.
std::array<std::size_t, 2> table_shape(const block& of) {
  const range rows = around(of.rows().begin(), of.rows().end(), height);
  const range columns = around(of.cols().begin(), of.cols().end(), width);
  return {rows.last - rows.first + 1, columns.last - columns.first + 1};
}

template <class F>
void for_each_block(F f) {
  tbb::parallel_for(block(0, height, side, 0, width, side), f, tbb::simple_partitioner());
}

/// With scratch memory of the thread that a block is done on.
void even_out_on_buffers(pixels in, result out, buffers::thread_resource<>& scratch) {
  for_each_block([&](const block& of) {
    const auto [rows, columns] = table_shape(of);
    const auto buffer = scratch.lease();  // until the end of this block
    const auto sums = buffers::alloc<std::uint64_t>(*buffer, rows, columns);
    const auto squares = buffers::alloc<std::uint64_t>(*buffer, rows, columns);
    even_out_block(in, out, of, sums, squares);
  });
}

/// With fresh vectors for each block.
void even_out_on_vectors(pixels in, result out) {
  for_each_block([&](const block& of) {
    const auto [rows, columns] = table_shape(of);
    std::vector<std::uint64_t> sums(rows * columns), squares(rows * columns);
    even_out_block(in, out, of, table(sums.data(), rows, columns), table(squares.data(), rows, columns));
  });
}

/// Row y as it is written at the top.
void even_out_plainly(pixels in, std::size_t y, std::span<float> out) {
  for (std::size_t x = 0; x < width; ++x) {
    const range rows = around(y, y + 1, height), columns = around(x, x + 1, width);
    std::uint64_t sum = 0, squares = 0;
    for (std::size_t v = rows.first; v < rows.last; ++v)
      for (std::size_t u = columns.first; u < columns.last; ++u) {
        sum += in[v, u];
        squares += std::uint64_t{in[v, u]} * in[v, u];
      }
    out[x] = even_out(in[y, x], sum, squares, (rows.last - rows.first) * (columns.last - columns.first));
  }
}

/// All sums are whole numbers: the results are the same to the last bit.
bool is_right(pixels in, std::span<const float> results) {
  std::vector<float> expected(width);
  for (std::size_t y = 0; y < height; y += 5) {
    even_out_plainly(in, y, expected);
    if (!std::ranges::equal(results.subspan(y * width, width), expected)) return false;
  }
  return true;
}

int compare(int rounds) {
  const std::vector<std::uint8_t> picture = make_picture();
  const pixels in(picture.data());
  std::vector<float> on_buffers(height * width), on_vectors(height * width);
  buffers::thread_resource<> scratch;

  const auto [buffer_time, vector_time] = median_times(
      rounds, [&] { even_out_on_buffers(in, result(on_buffers.data()), scratch); },
      [&] { even_out_on_vectors(in, result(on_vectors.data())); });
  const bool right = on_buffers == on_vectors && is_right(in, on_buffers) && scratch.used() == 0;
  std::println("{} x {} pixels in blocks of {} x {}, on {} threads", width, height, side, side,
               tbb::this_task_arena::max_concurrency());
  std::println("the results are {}", right ? "the same" : "NOT the same");
  std::println("buffers          {}, {} bytes each at their peak", scratch.size(), scratch.peak() / scratch.size());
  std::println("thread_resource  {:.3f} ms", 1e3 * buffer_time);
  std::println("fresh vectors    {:.3f} ms, {:.2f} times as long (medians of {} rounds)", 1e3 * vector_time,
               vector_time / buffer_time, rounds);
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 15;
  if (argc > 1) {
    const std::string_view number = argv[1];
    const auto [end, error] = std::from_chars(number.begin(), number.end(), rounds);
    if (argc > 2 || error != std::errc() || end != number.end() || rounds < 1) {
      std::println(stderr, "parallel_blocks: usage: parallel_blocks [ROUNDS]");
      return 2;
    }
  }
  try {
    return end_of_output(compare(rounds));
  } catch (const std::exception& error) {
    std::println(stderr, "parallel_blocks: {}", error.what());
    return 1;
  }
}
