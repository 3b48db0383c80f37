import { configureStore, createSlice } from '@reduxjs/toolkit';

const basket = createSlice({
  name: 'basket',
  initialState: { lines: [] },
  reducers: {
    added: (state, { payload }) => {
      const line = state.lines.find((one) => one.id === payload.id);
      if (line) {
        line.count += 1;
      } else {
        state.lines.push({ ...payload, count: 1 });
      }
    },
    cleared: (state) => {
      state.lines = [];
    },
  },
});

export const { added, cleared } = basket.actions;
export const store = configureStore({ reducer: { basket: basket.reducer } });
