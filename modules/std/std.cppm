// The parts of the standard library and of GSL that the interfaces of resources and threads are made of, read once: an
// interface that includes <memory_resource> itself takes a second to compile and 10 MB, and whoever imports it merges
// those with all the others. tensor, usage and testing include the standard headers that they use.
// What is cheap (<cstddef>, <bit>, <concepts>, <type_traits>, <utility>) is included where it is used.
//
// Not for users: `import buffers;` shows none of these names.
module;
#include <array>
#include <atomic>
#include <expected>
#include <gsl/pointers>
#include <iterator>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <ranges>
#include <span>
#include <tuple>
#include <variant>
export module buffers.std;

export namespace std {

using std::array;
using std::as_bytes;
using std::as_writable_bytes;
using std::atomic;
using std::default_accessor;
using std::dextents;
using std::expected;
using std::extents;
using std::input_or_output_iterator;
using std::layout_left;
using std::layout_right;
using std::layout_stride;
using std::lock_guard;
using std::make_shared;
using std::make_unique;
using std::mdspan;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::mutex;
using std::optional;
using std::shared_ptr;
using std::span;
using std::tuple;
using std::uninitialized_construct_using_allocator;
using std::unique_lock;
using std::unique_ptr;
using std::variant;

namespace pmr {
using std::pmr::get_default_resource;
using std::pmr::memory_resource;
using std::pmr::new_delete_resource;
using std::pmr::polymorphic_allocator;
}  // namespace pmr

namespace ranges {
using std::ranges::view;
}  // namespace ranges

}  // namespace std

export namespace gsl {

using gsl::not_null;

}  // namespace gsl
