// Comparing what has a shape and elements: tensors, views, expressions.
#pragma once

template <class A, class B>
[[nodiscard]] bool same(const A& a, const B& b) {
  return a.shape() == b.shape() && a.to_nested() == b.to_nested();
}
