// Printing: nested brackets, with the first and last two of a dimension that is longer than four.
//
//     std::println("{}", t);           // [[5.0, 5.0, 5.0], [5.0, 10.0, 5.0], [5.0, 5.0, 5.0]]
//     std::println("{:.2f}", t);       // [[5.00, ...: what is after the colon is for each element
//     std::cout << t;
//
// Without more said, elements look as they do in C++: 5.0 is a floating-point number, 5 an integer, true a bool, with
// as many digits as it takes to read the same number back. Threads: as reading the elements.
module;
#include <array>
#include <cstddef>
#include <format>
#include <iosfwd>
#include <type_traits>
#include <version>
export module buffers.tensor:format;
import buffers.core;
import :dtype;
import :expression;
import :tensor_view;
import :tensor_class;

namespace buffers::detail {

// Where text goes, and who writes the element at an index.
struct printer {
  void* context;
  void (*text)(void* context, const char* first, std::size_t count);
  void (*element)(void* context, const std::size_t* index);
};

void print(const printer& to, std::size_t rank, const std::size_t* shape, std::size_t* index);

// An element as C++ has it; the number of characters. `to` has room for 64.
std::size_t write_element(char* to, bool value) noexcept;
std::size_t write_element(char* to, long long value) noexcept;
std::size_t write_element(char* to, unsigned long long value) noexcept;
std::size_t write_element(char* to, float value) noexcept;
std::size_t write_element(char* to, double value) noexcept;
std::size_t write_element(char* to, long double value) noexcept;

template <element T>
std::size_t write_any_element(char* to, T value) noexcept {
  if constexpr (std::is_same_v<T, bool>)
    return write_element(to, value);
  else if constexpr (std::is_integral_v<T>)
    return write_element(to,
                         static_cast<std::conditional_t<std::is_signed_v<T>, long long, unsigned long long>>(value));
  else
    return write_element(
        to,
        static_cast<std::conditional_t<(sizeof(T) <= sizeof(float)), float,
                                       std::conditional_t<(sizeof(T) <= sizeof(double)), double, long double>>>(value));
}

void put(std::ostream& out, const char* first, std::size_t count);
void end_item(std::ostream& out);

// Prints an expression: text(first, count) and element(value).
template <class E, class Text, class Element>
void print_expression(const E& expression, Text text, Element element) {
  struct state {
    const E& expression;
    Text& text;
    Element& element;
  } now{expression, text, element};
  const auto shape = expression.shape();
  std::size_t index[E::rank + 1] = {};
  print({&now,
         [](void* context, const char* first, std::size_t count) { static_cast<state*>(context)->text(first, count); },
         [](void* context, const std::size_t* at) {
           state& self = *static_cast<state*>(context);
           self.element(self.expression.element(at));
         }},
        E::rank, shape.data(), index);
}

template <class E>
[[nodiscard]] decltype(auto) readable(const E& expression) {
  if constexpr (requires { expression.element(nullptr); })
    return (expression);
  else
    return expression.node();
}

}  // namespace buffers::detail

export namespace buffers {

/// Writes what std::format("{}", expression) gives, whatever the stream's precision, width and flags are.
template <expression E>
std::ostream& operator<<(std::ostream& out, const E& expression) {
  const auto text = [&](const char* first, std::size_t count) { detail::put(out, first, count); };
  detail::print_expression(detail::readable(expression), text, [&](auto value) {
    char characters[64];
    text(characters, detail::write_any_element(characters, value));
  });
  detail::end_item(out);
  return out;
}

}  // namespace buffers

template <buffers::expression E>
struct std::formatter<E, char> {
  constexpr auto parse(std::format_parse_context& context) {
    plain_ = context.begin() == context.end() || *context.begin() == '}';
    return plain_ ? context.begin() : element_.parse(context);
  }

  template <class Context>
  auto format(const E& expression, Context& context) const {
    auto out = context.out();
    const auto text = [&](const char* first, std::size_t count) {
      for (; count > 0; --count) *out++ = *first++;
    };
    buffers::detail::print_expression(buffers::detail::readable(expression), text, [&](auto value) {
      if (plain_) {
        char characters[64];
        text(characters, buffers::detail::write_any_element(characters, value));
      } else {
        context.advance_to(out);
        out = element_.format(value, context);
      }
    });
    return out;
  }

 private:
  bool plain_ = true;
  std::formatter<typename E::value_type, char> element_;
};

// libstdc++ takes a tensor of no dimensions, which converts to its element, for a number as well as for a range.
#if defined(__cpp_lib_print) && __cpp_lib_print >= 202403L
template <class T, std::size_t Rank>
inline constexpr bool std::enable_nonlocking_formatter_optimization<buffers::tensor<T, Rank>> = true;
template <class T, std::size_t Rank>
inline constexpr bool std::enable_nonlocking_formatter_optimization<buffers::tensor_view<T, Rank>> = true;
#endif
