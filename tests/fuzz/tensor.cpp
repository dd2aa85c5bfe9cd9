// Slicing, reordering, broadcasting and assigning, against a model that knows of each element of a view which one of
// the tensor it is.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mdspan>
#include <memory_resource>
#include <new>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fuzz/target.hpp"
#include "support/require.hpp"
import buffers;

using buffers::all;
using buffers::range;

namespace {

using shape3 = std::array<std::size_t, 3>;

/// A view, and the places in the tensor of its elements, row by row.
struct pair {
  buffers::tensor_view<int, 3> view;
  shape3 shape;
  std::vector<std::size_t> places;

  std::size_t at(std::size_t i, std::size_t j, std::size_t k) const {
    return places[(i * shape[1] + j) * shape[2] + k];
  }
  bool repeats() const { return std::set(places.begin(), places.end()).size() != places.size(); }
};

/// The model's view with this shape, whose element (i, j, k) is that of f(i, j, k).
template <class F>
pair made(const buffers::tensor_view<int, 3>& view, const shape3& shape, F f) {
  pair p{view, shape, {}};
  for (std::size_t i = 0; i < shape[0]; ++i)
    for (std::size_t j = 0; j < shape[1]; ++j)
      for (std::size_t k = 0; k < shape[2]; ++k) p.places.push_back(f(i, j, k));
  return p;
}

class program {
 public:
  explicit program(choices& from) : from_(from) {
    for (std::size_t& extent : shape_) extent = from_.up_to(4);
    base_ = buffers::tensor<int, 3>(shape_, &buffer_);
    model_.resize(base_.numel());
    for (std::size_t i = 0; i < model_.size(); ++i) base_.data()[i] = model_[i] = static_cast<int>(i);
    now_.push_back(whole());
  }

  std::size_t run() {
    std::size_t done = 0;
    for (; !from_.done(); ++done) {
      const std::size_t choice = from_.up_to(15);
      const pair p = now_[from_.below(now_.size())];
      if (choice < 5)
        add(slice(p));
      else if (choice < 7)
        add(permute(p));
      else if (choice < 8)
        expand(p);
      else if (choice < 9)
        drop_and_expand(p);
      else if (choice < 10)
        reshape(p);
      else
        assign(p, now_[from_.below(now_.size())], choice);
      check(now_.back());
    }
    for (const pair& p : now_) check(p);
    return done;
  }

 private:
  pair whole() {
    std::size_t next = 0;
    return made(base_[all, all, all], shape_, [&](std::size_t, std::size_t, std::size_t) { return next++; });
  }
  void add(pair p) {
    if (now_.size() == 8)
      while (now_.size() != 1) now_.pop_back();  // erase() would assign views, which copies elements
    now_.push_back(std::move(p));
  }

  // As Python's slices are: what is beyond the ends is left out.
  struct one_range {
    range wanted;
    std::vector<std::size_t> picked;
  };
  one_range any_range(std::size_t extent) {
    const auto size = static_cast<std::ptrdiff_t>(extent);
    const auto any = [&] { return static_cast<std::ptrdiff_t>(from_.up_to(12)) - 6; };
    std::ptrdiff_t step = any();
    if (step == 0) step = 1;
    const bool has_first = from_.one_in(2), has_last = from_.one_in(2);
    const std::ptrdiff_t first = has_first ? any() : 0, last = has_last ? any() : 0;
    one_range r{{.step = step}, {}};
    if (has_first) r.wanted.first = first;
    if (has_last) r.wanted.last = last;
    const std::ptrdiff_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    const auto bound = [&](std::ptrdiff_t at) { return std::clamp(at < 0 ? at + size : at, low, high); };
    const std::ptrdiff_t begin = has_first ? bound(first) : step > 0 ? low : high;
    const std::ptrdiff_t end = has_last ? bound(last) : step > 0 ? high : low;
    for (std::ptrdiff_t at = begin; step > 0 ? at < end : at > end; at += step)
      r.picked.push_back(static_cast<std::size_t>(at));
    return r;
  }

  pair slice(const pair& p) {
    const one_range a = any_range(p.shape[0]), b = any_range(p.shape[1]), c = any_range(p.shape[2]);
    return made(
        p.view[a.wanted, b.wanted, c.wanted], {a.picked.size(), b.picked.size(), c.picked.size()},
        [&](std::size_t i, std::size_t j, std::size_t k) { return p.at(a.picked[i], b.picked[j], c.picked[k]); });
  }

  pair permute(const pair& p) {
    switch (from_.up_to(2)) {
      case 0:
        return made(buffers::transpose(p.view), {p.shape[2], p.shape[1], p.shape[0]},
                    [&](std::size_t i, std::size_t j, std::size_t k) { return p.at(k, j, i); });
      case 1:
        return made(buffers::permute(p.view, {1, 2, 0}), {p.shape[1], p.shape[2], p.shape[0]},
                    [&](std::size_t i, std::size_t j, std::size_t k) { return p.at(k, i, j); });
      default:
        return made(buffers::transpose(p.view, 0, -2), {p.shape[1], p.shape[0], p.shape[2]},
                    [&](std::size_t i, std::size_t j, std::size_t k) { return p.at(j, i, k); });
    }
  }

  /// Whether NumPy would repeat the one to the other.
  static bool broadcasts(const shape3& from, const shape3& to) {
    for (std::size_t d = 0; d < 3; ++d)
      if (from[d] != 1 && from[d] != to[d]) return false;
    return true;
  }

  void expand(const pair& p) {
    shape3 shape;
    for (std::size_t d = 0; d < 3; ++d) shape[d] = p.shape[d] == 1 || from_.one_in(8) ? from_.up_to(4) : p.shape[d];
    if (!broadcasts(p.shape, shape)) {
      require_throws<std::invalid_argument>([&] { (void)buffers::expand(p.view, shape); });
      return;
    }
    add(made(buffers::expand(p.view, shape), shape, [&](std::size_t i, std::size_t j, std::size_t k) {
      return p.at(p.shape[0] == 1 ? 0 : i, p.shape[1] == 1 ? 0 : j, p.shape[2] == 1 ? 0 : k);
    }));
  }

  // An integer takes a dimension away, and expand makes another one in front.
  void drop_and_expand(const pair& p) {
    const auto at = static_cast<std::ptrdiff_t>(from_.up_to(9)) - 5, size = static_cast<std::ptrdiff_t>(p.shape[1]);
    const std::size_t front = from_.up_to(3);
    if (at < -size || at >= size) {
      require_throws<std::out_of_range>([&] { (void)p.view[all, at]; });
      return;
    }
    const shape3 shape{front, p.shape[0], p.shape[2]};
    const auto place = static_cast<std::size_t>(at < 0 ? at + size : at);
    add(made(buffers::expand(p.view[all, at], shape), shape,
             [&](std::size_t, std::size_t j, std::size_t k) { return p.at(j, place, k); }));
  }

  void reshape(const pair& p) {
    const shape3 shape{p.shape[1], p.shape[0] * p.shape[2], 1};
    try {
      std::size_t next = 0;
      add(made(buffers::reshape(p.view, shape), shape,
               [&](std::size_t, std::size_t, std::size_t) { return p.places[next++]; }));
    } catch (const std::invalid_argument&) {
      require(!p.view.is_contiguous());
    }
  }

  // The sources are read before anything is written, whatever overlaps.
  void assign(const pair& to, const pair& from, std::size_t choice) {
    if (to.repeats()) return;
    if (!broadcasts(from.shape, to.shape)) {
      require_throws<std::invalid_argument>([&] { to.view = from.view; });
      return;
    }
    std::vector<int> values;
    for (std::size_t i = 0; i < to.shape[0]; ++i)
      for (std::size_t j = 0; j < to.shape[1]; ++j)
        for (std::size_t k = 0; k < to.shape[2]; ++k) {
          const std::size_t source =
              from.at(from.shape[0] == 1 ? 0 : i, from.shape[1] == 1 ? 0 : j, from.shape[2] == 1 ? 0 : k);
          const int x = model_[source], y = model_[to.at(i, j, k)];
          values.push_back(choice < 12   ? x
                           : choice < 13 ? std::max(x, 3)
                           : choice < 14 ? std::min(x + y, 1000)
                                         : x > y);
        }
    if (choice < 12)
      to.view = from.view;
    else if (choice < 13)
      to.view = buffers::maximum(from.view, 3);
    else if (choice < 14)
      to.view = buffers::minimum(from.view + to.view, 1000);
    else
      to.view = from.view > to.view;
    for (std::size_t i = 0; i < values.size(); ++i) model_[to.places[i]] = values[i];
    require(std::equal(model_.begin(), model_.end(), base_.data()));
  }

  void check(const pair& p) {
    require(p.view.shape() == p.shape);
    require(p.view.numel() == p.places.size());
    std::size_t next = 0;
    for (const int& element : p.view) require(element == model_[p.places[next++]]);
    require(next == p.places.size());
    for (std::size_t i = 0; i < p.shape[0]; ++i)
      for (std::size_t k = 0; k < p.shape[2]; ++k)
        if (p.shape[1] != 0) require(&p.view[i, -1, k] == base_.data() + p.at(i, p.shape[1] - 1, k));
  }

  choices& from_;
  buffers::slab_resource buffer_;
  shape3 shape_{};
  buffers::tensor<int, 3> base_{&buffer_};
  std::vector<int> model_;
  std::vector<pair> now_;
};

}  // namespace

std::size_t play(choices& from) { return program(from).run(); }
