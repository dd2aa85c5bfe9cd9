// image_filter: blurs a picture and finds its edges, with slices and expressions on memory of a slab.
//
//     image_filter                          draws a picture: picture.ppm, blurred.ppm, edges.pgm in the current folder
//     image_filter PICTURE BLURRED EDGES    reads a binary PGM or PPM (P5, P6; values up to 255), writes the other two
//
// A filter is a sum of shifted pictures, and a shifted picture is a slice:
//
//     ┌───────────────┐      p[range{0, -2}, all]     the rows above
//     │ ┌───────────┐ │      p[range{1, -1}, all]     the rows themselves
//     │ │  picture  │ │      p[range{2, all}, all]    the rows below
//     │ └───────────┘ │
//     └───────────────┘ p: with its border repeated once around
//
// Exit code: 0; 1 when a file cannot be read or written, or a result is not that of plain loops; 2 for wrong arguments.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <format>
#include <fstream>
#include <iterator>
#include <memory_resource>
#include <print>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "output.hpp"

import buffers;

namespace {

using namespace buffers;

// Rows, columns, and one or three colours, from 0 to 255.
using picture = tensor<float, 3>;

// --- Files -----------------------------------------------------------------------------------------------------------

class pnm_reader {
 public:
  pnm_reader(const std::string& path, std::pmr::memory_resource& memory) : path_(path), bytes_(&memory) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("cannot be opened");
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }

  picture read(std::pmr::memory_resource& memory) {
    if (bytes_.size() < 2 || bytes_[0] != 'P' || (bytes_[1] != '5' && bytes_[1] != '6'))
      fail("is no binary PGM or PPM");
    const std::size_t colours = bytes_[1] == '5' ? 1 : 3;
    at_ = 2;
    const std::size_t columns = number(), rows = number(), most = number();
    if (columns == 0 || rows == 0 || most == 0) fail("has a size or a largest value of 0");
    if (most > 255) fail("has values of two bytes");
    ++at_;  // one white space
    const std::size_t left = at_ < bytes_.size() ? bytes_.size() - at_ : 0;
    if (left / columns / rows < colours) fail("is too short for its size");
    const tensor_view<const std::uint8_t, 3> values(reinterpret_cast<const std::uint8_t*>(bytes_.data()) + at_,
                                                    {rows, columns, colours});
    return picture(values * (255.0f / static_cast<float>(most)), &memory);
  }

 private:
  [[noreturn]] void fail(std::string_view why) const { throw std::runtime_error(std::format("{} {}", path_, why)); }

  // The next number, after white space and comments.
  std::size_t number() {
    for (; at_ < bytes_.size(); ++at_) {
      if (bytes_[at_] == '#') {
        while (at_ + 1 < bytes_.size() && bytes_[at_ + 1] != '\n') ++at_;
      } else if (std::isspace(static_cast<unsigned char>(bytes_[at_])) == 0) {
        break;
      }
    }
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(bytes_.data() + at_, bytes_.data() + bytes_.size(), value);
    if (error != std::errc{}) fail("has a header that is not one");
    at_ = static_cast<std::size_t>(end - bytes_.data());
    return value;
  }

  const std::string& path_;
  std::pmr::vector<char> bytes_;
  std::size_t at_ = 0;
};

void write_pnm(const std::string& path, const picture& image, std::pmr::memory_resource& memory) {
  const tensor<std::uint8_t, 3> values(minimum(maximum(image + 0.5f, 0.0f), 255.0f), &memory);
  std::ofstream file(path, std::ios::binary);
  file << std::format("P{}\n{} {}\n255\n", values.shape()[2] == 1 ? 5 : 6, values.shape()[1], values.shape()[0]);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.numel()));
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

// --- Filters ---------------------------------------------------------------------------------------------------------

// The picture with its outermost rows and columns repeated once around it.
picture with_border(const picture& image, std::pmr::memory_resource& memory) {
  const std::size_t rows = image.shape()[0], columns = image.shape()[1], colours = image.shape()[2];
  auto padded = empty<float>({rows + 2, columns + 2, colours}, &memory);
  padded[range{1, -1}, range{1, -1}] = image;
  padded[0] = padded[1];
  padded[-1] = padded[-2];
  padded[all, 0] = padded[all, 1];
  padded[all, -1] = padded[all, -2];
  return padded;
}

// Each value with its neighbours, in the proportions 1 : 2 : 1 in both directions.
picture blur(const picture& image, std::pmr::memory_resource& memory) {
  const picture p = with_border(image, memory);
  const picture down((p[range{0, -2}] + 2.0f * p[range{1, -1}] + p[range{2, all}]) / 4.0f, &memory);
  return picture((down[all, range{0, -2}] + 2.0f * down[all, range{1, -1}] + down[all, range{2, all}]) / 4.0f, &memory);
}

// How much the brightness changes, by Sobel's operator.
picture edges(const picture& image, std::pmr::memory_resource& memory) {
  const picture grey(mean(image, axes<2>, keepdims), &memory);
  const picture p = with_border(grey, memory);
  const picture down(p[range{0, -2}] + 2.0f * p[range{1, -1}] + p[range{2, all}], &memory);
  const picture across(p[all, range{0, -2}] + 2.0f * p[all, range{1, -1}] + p[all, range{2, all}], &memory);
  const auto to_the_right = down[all, range{2, all}] - down[all, range{0, -2}];
  const auto downwards = across[range{2, all}] - across[range{0, -2}];
  return picture(sqrt(to_the_right * to_the_right + downwards * downwards) / 4.0f, &memory);
}

// --- The picture to begin with: a disc before a sky ------------------------------------------------------------------

picture draw(std::size_t rows, std::size_t columns, std::pmr::memory_resource& memory) {
  auto y = arange<float>(static_cast<float>(rows), &memory), x = arange<float>(static_cast<float>(columns), &memory);
  y /= static_cast<float>(rows);
  x /= static_cast<float>(columns);
  const auto down = reshape(y, {rows, 1});  // over x, they make a plane
  auto image = empty<float>({rows, columns, 3}, &memory);
  image[all, all, 0] = 60.0f + 120.0f * down;
  image[all, all, 1] = 90.0f + 100.0f * down + 20.0f * x;
  image[all, all, 2] = 200.0f - 60.0f * down;
  const auto in_disc = pow(x - 0.5f, 2) + pow(down - 0.4f, 2) < 0.05f;
  image[all, all, 0] = where(in_disc, 250.0f, image[all, all, 0]);
  image[all, all, 1] = where(in_disc, 220.0f, image[all, all, 1]);
  image[range{-20, all}, range{all, all, 8}] = 30.0f;  // a fence
  return image;
}

// --- The same by plain loops, to compare with ------------------------------------------------------------------------

struct plain {
  const picture& image;
  float at(std::ptrdiff_t i, std::ptrdiff_t j, std::size_t colour) const {
    const auto rows = static_cast<std::ptrdiff_t>(image.shape()[0]),
               columns = static_cast<std::ptrdiff_t>(image.shape()[1]);
    return image[std::clamp<std::ptrdiff_t>(i, 0, rows - 1), std::clamp<std::ptrdiff_t>(j, 0, columns - 1), colour];
  }
  // The sum of the values around (i, j), each times its weight.
  float around(std::ptrdiff_t i, std::ptrdiff_t j, std::size_t colour, const float (&weights)[3][3]) const {
    float total = 0;
    for (std::ptrdiff_t a = -1; a <= 1; ++a)
      for (std::ptrdiff_t b = -1; b <= 1; ++b) total += weights[a + 1][b + 1] * at(i + a, j + b, colour);
    return total;
  }
};

bool is_right(const picture& image, const picture& blurred, const picture& edge) {
  constexpr float even[3][3] = {{1, 2, 1}, {2, 4, 2}, {1, 2, 1}};
  constexpr float right[3][3] = {{-1, 0, 1}, {-2, 0, 2}, {-1, 0, 1}};
  constexpr float down[3][3] = {{-1, -2, -1}, {0, 0, 0}, {1, 2, 1}};
  const std::size_t colours = image.shape()[2];
  float worst = 0;
  for (std::size_t i = 0; i < image.shape()[0]; ++i)
    for (std::size_t j = 0; j < image.shape()[1]; ++j) {
      const auto row = static_cast<std::ptrdiff_t>(i), column = static_cast<std::ptrdiff_t>(j);
      float to_the_right = 0, downwards = 0;
      for (std::size_t c = 0; c < colours; ++c) {
        worst = std::max(worst, std::abs(blurred[i, j, c] - plain{image}.around(row, column, c, even) / 16));
        to_the_right += plain{image}.around(row, column, c, right) / static_cast<float>(colours);
        downwards += plain{image}.around(row, column, c, down) / static_cast<float>(colours);
      }
      worst = std::max(worst, std::abs(edge[i, j, 0] - std::hypot(to_the_right, downwards) / 4));
    }
  return worst < 0.01f;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 1 && argc != 4) {
    std::println(stderr, "usage: image_filter [PICTURE BLURRED EDGES]");
    return 2;
  }
  try {
    std::array<std::string, 3> paths{"picture.ppm", "blurred.ppm", "edges.pgm"};
    slab_resource scratch;
    if (argc == 1)
      write_pnm(paths[0], draw(240, 320, scratch), scratch);
    else
      std::copy(argv + 1, argv + 4, paths.begin());
    scratch.reset();

    const picture image = pnm_reader(paths[0], scratch).read(scratch);
    const picture blurred = blur(image, scratch), edge = edges(image, scratch);
    write_pnm(paths[1], blurred, scratch);
    write_pnm(paths[2], edge, scratch);
    std::println("{}: {} x {}, {} colours, brightness {:.1f}; strongest edge {:.1f}; {:.1f} MB of scratch", paths[0],
                 image.shape()[1], image.shape()[0], image.shape()[2], mean(image), max(edge),
                 static_cast<double>(scratch.peak()) / 1e6);
    std::println("wrote {} and {}", paths[1], paths[2]);
    if (is_right(image, blurred, edge)) return end_of_output(EXIT_SUCCESS);
    std::println(stderr, "the results are not those of plain loops");
  } catch (const std::exception& error) {
    std::println(stderr, "{}", error.what());
  }
  return EXIT_FAILURE;
}
