//! `Db` is linearizable: what threads saw of each other has an order that explains it, in which
//! nothing comes before what had ended when it began. Checked twice: with the store's own sequences
//! over millions of operations, and without believing them on many small histories.

mod linear {
    mod black;
    mod medium;
    mod white;
}
